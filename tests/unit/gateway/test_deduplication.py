"""The window of published ids."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_gateway.publishing.deduplication import DeduplicationWindow

printable = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=5)
key_sets = st.sets(st.tuples(st.text(max_size=3).filter(lambda text: text.isprintable()), printable), max_size=20)


class Clock:
    def __init__(self) -> None:
        self.now = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(tmp_path: Path, clock: Clock) -> Iterator[DeduplicationWindow]:
    with closing(DeduplicationWindow(tmp_path / "w.db", timedelta(hours=1), clock=clock)) as opened:
        yield opened


@given(remembered=key_sets, asked=key_sets)
def test_remembered_keys_are_known(
    tmp_path_factory: pytest.TempPathFactory, remembered: set[tuple[str, str]], asked: set[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("window") / "w.db"
    with closing(DeduplicationWindow(path, timedelta(hours=1), clock=Clock())) as window:
        window.remember(remembered, "here")

        assert window.known(remembered | asked) == remembered
        assert window.known(asked) == remembered & asked


def test_the_lookup_uses_the_primary_key(tmp_path: Path, window: DeduplicationWindow) -> None:
    window.remember([("p", str(number)) for number in range(5000)], "")
    with closing(sqlite3.connect(tmp_path / "w.db")) as database:
        plan = database.execute(
            "EXPLAIN QUERY PLAN SELECT event_id FROM published WHERE publisher = ? "
            "AND event_id IN (SELECT value FROM json_each(?)) AND published_at > ?",
            ("p", "[]", 0),
        ).fetchall()

    assert "SEARCH published USING PRIMARY KEY (publisher=? AND event_id=?)" in [row[3] for row in plan]


def test_expired_ids_are_deleted(tmp_path: Path, window: DeduplicationWindow, clock: Clock) -> None:
    for round_ in range(10):
        window.remember([("p", f"{round_}-{number}") for number in range(3000)], "")
        clock.now += 1900  # two rounds fit into the window

    with closing(sqlite3.connect(tmp_path / "w.db")) as database:
        assert database.execute("SELECT count(*) FROM published").fetchone()[0] <= 3 * 3000
    assert window.known([("p", "0-0")]) == set()
    assert window.known([("p", "9-0")]) == {("p", "9-0")}


def test_an_id_sent_after_the_window_is_remembered_again(window: DeduplicationWindow, clock: Clock) -> None:
    window.remember([("p", "a")], "1")
    clock.now += 3601
    assert window.known([("p", "a")]) == set()
    window.remember([("p", "a")], "2")

    assert window.known([("p", "a")]) == {("p", "a")}
    assert window.position() == "2"
