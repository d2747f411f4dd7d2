from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.event_log_panels import MAX_NAMES, STATEMENTS, EventLogPanels, TimeSpan
from telemetry_store.event_logs import event_logs
from telemetry_store.migrations import upgrade_database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPANS: list[TimeSpan] = [(NOON, NOON + HOUR), (NOON + HOUR, NOON + 2 * HOUR)]


def row(name: str, *, minutes: float = 0, user: int = 0, anonymous: str = "somebody") -> dict[str, object]:
    moment = NOON + timedelta(minutes=minutes)
    return {
        "name": name, "url": "", "user_id": user, "anonymous_user_id": anonymous, "source": "BACKEND", "version": "1",
        "argument": {"query": "private"}, "timestamp": moment,
    }  # fmt: skip


def put(database: Database, *rows: dict[str, object]) -> EventLogPanels:
    database.write(lambda connection: connection.execute(insert(event_logs), list(rows)))
    return EventLogPanels(database)


def test_events_are_counted_in_their_spans_by_name(database: Database) -> None:
    panels = put(
        database,
        row("search.submit"),
        row("search.submit", minutes=59.99),
        row("search.open", minutes=10),
        row("search.submit", minutes=60),
        row("search.submit", minutes=120),
        row("search.submit", minutes=-0.01),
    )

    first, second = panels.events(SPANS)

    assert (first.total, first.by_name) == (3, {"search.submit": 2, "search.open": 1})
    assert (second.total, second.by_name) == (1, {"search.submit": 1})


def test_an_empty_table_has_no_events_in_any_span(database: Database) -> None:
    panels = EventLogPanels(database)

    assert [(span.total, span.by_name) for span in panels.events(SPANS)] == [(0, {}), (0, {})]
    assert panels.people(SPANS) == [0, 0]
    assert panels.names() == []
    assert panels.events([]) == []


@pytest.mark.parametrize(
    ("feature", "names"),
    [
        ("", {"search.a.b", "search.c", "searches.d", "sea.e", "se_rch.f"}),
        ("search", {"search.a.b", "search.c"}),
        ("search.a", {"search.a.b"}),
        ("se_rch", {"se_rch.f"}),
        ("%", set()),
        ("'; --", set()),
    ],
)
def test_a_feature_includes_the_features_below_it(database: Database, feature: str, names: set[str]) -> None:
    everything = ["search.a.b", "search.c", "searches.d", "sea.e", "se_rch.f"]
    panels = put(database, *(row(name, user=place + 1) for place, name in enumerate(everything)))

    assert panels.events(SPANS, feature)[0].by_name == dict.fromkeys(names, 1)
    assert panels.people(SPANS, feature) == [len(names), 0]


def test_people_are_counted_by_user_id_or_else_by_anonymous_id(database: Database) -> None:
    panels = put(
        database,
        row("a.b", user=7, anonymous="x"),
        row("a.b", user=7, anonymous="y"),
        row("a.c", user=8, anonymous=""),
        row("a.b", anonymous="x"),
        row("a.b", anonymous="x", minutes=1),
        row("a.b", anonymous="7"),
        row("a.b", anonymous="unknown"),
        row("a.b", user=9, anonymous="unknown"),
        row("a.b", user=7, minutes=61),
    )

    assert panels.people(SPANS) == [5, 1]


def test_each_name_is_listed_once_with_any_characters(database: Database) -> None:
    names = ["b.a", "a.b", "<script>alert(1)</script>", "naïve.ünïcode", "no-dot", "%_.x", '"quoted".\\']
    panels = put(database, *(row(name, minutes=place) for place, name in enumerate(names * 3)))

    assert sorted(panels.names()) == sorted(names)
    assert panels.events(SPANS)[0].by_name == dict.fromkeys(names, 3)


def test_only_the_most_frequent_of_many_names_are_listed(database: Database) -> None:
    panels = put(
        database, row("often.used"), *(row(f"name.{number:05}") for number in range(MAX_NAMES + 50)), row("often.used")
    )

    (span,) = panels.events(SPANS[:1])

    assert len(panels.names()) == MAX_NAMES
    assert (len(span.by_name), span.total) == (MAX_NAMES, MAX_NAMES + 52)
    assert span.by_name["often.used"] == 2


def test_a_name_with_invalid_utf8_does_not_break_a_panel(tmp_path: Path) -> None:
    engine = create_database_engine(f"sqlite:///{tmp_path / 'telemetry.db'}")  # PostgreSQL rejects such text
    upgrade_database(engine)
    database = Database(engine)
    panels = put(database, row("a.b"))
    database.write(lambda c: c.execute(text("UPDATE event_logs SET name = CAST(x'612eff' AS TEXT)")))

    assert panels.names() == ["a.\N{REPLACEMENT CHARACTER}"]
    assert panels.events(SPANS)[0].by_name == {"a.\N{REPLACEMENT CHARACTER}": 1}
    database.close()


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.b", "a.c", "b.c"]), st.integers(-30, 150), st.integers(0, 2), st.sampled_from("xy")
        ),
        max_size=30,
    )
)
def test_the_panels_agree_with_counting_by_hand(
    database: Database, given_rows: list[tuple[str, int, int, str]]
) -> None:
    database.write(lambda connection: connection.execute(event_logs.delete()))
    rows = [row(name, minutes=minutes, user=user, anonymous=who) for name, minutes, user, who in given_rows]
    panels = put(database, *rows) if rows else EventLogPanels(database)

    for feature in ("", "a"):
        for (since, until), counts, people in zip(
            SPANS, panels.events(SPANS, feature), panels.people(SPANS, feature), strict=True
        ):
            within = [
                one for one in given_rows
                if since <= NOON + timedelta(minutes=one[1]) < until and one[0].startswith(feature)
            ]  # fmt: skip
            assert counts.by_name == Counter(one[0] for one in within)
            assert people == len({one[2] or one[3] for one in within})


@pytest.mark.parametrize("of_a_feature", [False, True])
@pytest.mark.parametrize("statement", ["events", "people"])
def test_panels_are_index_only_scans(database: Database, statement: str, of_a_feature: bool) -> None:
    wide = [
        {**row(f"a.{number % 20:x}", minutes=number / 100, user=number % 90), "url": "x" * 400}
        for number in range(20_000)
    ]
    panels = put(database, *wide)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if database.dialect.name == "sqlite" else "VACUUM ANALYZE event_logs")
    values = {**panels._values(SPANS, "a" if of_a_feature else ""), "names": 10}
    text_of_it = STATEMENTS.on(database.dialect)[f"{statement}_of_a_feature" if of_a_feature else statement]
    explain = "EXPLAIN QUERY PLAN" if database.dialect.name == "sqlite" else "EXPLAIN"

    plan = "\n".join(
        str(line[-1]) for line in database.read(lambda c: c.exec_driver_sql(f"{explain} {text_of_it}", values).all())
    )

    assert "event_logs_activity" in plan
    if database.dialect.name == "sqlite":
        assert "SEARCH event_logs USING COVERING INDEX event_logs_activity (timestamp>? AND timestamp<?)" in plan
    else:
        assert "Index Only Scan using event_logs_activity" in plan


def test_names_are_found_by_a_loose_index_scan(database: Database) -> None:
    put(database, *(row(f"a.{number % 7}", minutes=number) for number in range(5_000)))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    statement = STATEMENTS.on(database.dialect)["names"]
    explain = "EXPLAIN QUERY PLAN" if database.dialect.name == "sqlite" else "EXPLAIN"

    plan = [
        str(line[-1])
        for line in database.read(lambda c: c.exec_driver_sql(f"{explain} {statement}", {"names": 9}).all())
    ]

    assert any("event_logs_name" in line for line in plan)
    assert not any(("SCAN event_logs" in line and "INDEX" not in line) or "Seq Scan" in line for line in plan)
