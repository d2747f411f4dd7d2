"""The output of commands contains every value, even in a narrow terminal."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_cli.output import out, print_facts, print_rows

EVENT_ID = "0190a5c0-0000-7000-8000-000000000001"
WORDS = st.lists(st.text("abcdefgh0123456789", min_size=1, max_size=12), min_size=1, max_size=8).map(" ".join)


@pytest.fixture(autouse=True)
def restored_width() -> Iterator[None]:
    width = out.width
    yield
    out.width = width


def squeezed(text: str) -> str:
    """Return text without layout: spaces, line breaks and rules of tables."""
    return "".join(character for character in text if character.isalnum())


@pytest.mark.parametrize("columns", [20, 30, 40, 80, 200])
@settings(max_examples=25)
@given(names=st.lists(WORDS, min_size=1, max_size=4, unique=True), value=WORDS)
def test_facts_show_every_name_and_value(
    capsys: pytest.CaptureFixture[str], columns: int, names: list[str], value: str
) -> None:
    out.width = columns
    print_facts("Facts", {name: f"{value} {position}" for position, name in enumerate(names)})
    printed = squeezed(capsys.readouterr().out)
    assert printed.count(squeezed(value)) >= len(names)
    if columns <= 30:
        assert all(squeezed(name) in printed for name in names)


@pytest.mark.parametrize("columns", [20, 30, 40, 80, 200])
def test_ids_stay_whole_and_values_are_shown(capsys: pytest.CaptureFixture[str], columns: int) -> None:
    out.width = columns
    reason = "INVALID_ARGUMENT: the gateway takes no such event"
    print_rows("Dead letters", ("id", "attempts", "oldest pending event", "reason"), [(EVENT_ID, 3, "none", reason)])
    print_facts("Event", {"id": EVENT_ID, "oldest pending event": "none", "reason": reason})
    printed = capsys.readouterr().out
    assert printed.count(EVENT_ID) == 2
    assert printed.count("none") == 2
    assert "…" not in printed


def test_a_short_value_is_on_the_line_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    out.width = 30
    print_facts("Queue", {"pending": 12, "oldest pending": "2026-03-01 12:00:00"})
    assert capsys.readouterr().out.splitlines() == [
        "Queue",
        "  pending  12",
        "  oldest pending",
        "    2026-03-01 12:00:00",
    ]
