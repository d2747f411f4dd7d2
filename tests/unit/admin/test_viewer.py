from datetime import date

from admin.viewer import Node, view_event
from support.events import CANARY, sensitive_event
from telemetry import Allowlist, AllowlistEntry, Redactor
from telemetry.explanation import Rule

ENTRY = AllowlistEntry("search.results", "submit", {"count": "why"}, "me", date(2026, 1, 1))


def broken_clock() -> date:
    raise ArithmeticError(CANARY)


def below(lines: list[Node], *names: str) -> Node:
    node = next(line for line in lines if line.name == names[0])
    return node if len(names) == 1 else below(node.children, *names[1:])


def test_an_event_that_cannot_be_redacted_shows_its_name_alone() -> None:
    viewed = view_event(sensitive_event().SerializeToString(), Redactor(Allowlist([ENTRY]), today=broken_clock))

    assert (viewed.feature, viewed.action, viewed.lines) == ("search.results", "submit", ())
    assert viewed.problem == "it cannot be redacted, so nothing of it may leave"


def test_a_marker_that_leaves_in_place_of_a_value_is_told_as_held_back() -> None:
    viewed = view_event(sensitive_event(count=5, query=CANARY).SerializeToString(), Redactor(Allowlist([ENTRY])))

    count = below(list(viewed.lines), "parameters", "private_metadata", "count")
    assert count.held is not None
    assert count.held.rule is Rule.NOT_TEXT
    assert CANARY not in repr(viewed)
