"""`batch_record` of 10,000 events, compared with executemany or COPY of prepared rows, plus building the events."""

from collections.abc import Callable, Iterator
from typing import Any

from measure import Comparison, interleave, seconds
from sqlalchemy import make_url
from stores import PARAMETERS, Rows, Stores, postgres_connection, recorder_on, sqlite_connection, usual_context

from telemetry import NewEvent
from telemetry_store.dialects import dialect_of_url
from telemetry_store.event_inserts import EventInserts
from telemetry_store.event_logs import WRITTEN_COLUMNS
from telemetry_store.export_queue import QUEUED_COLUMNS

GOALS = {"sqlite": 1.15, "postgresql": 1.25}
EVENTS = 10_000


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    rounds = 9 if full else 3
    for kind, goal in GOALS.items():
        url = stores.fresh(kind)
        recorder = recorder_on(url)
        events = [NewEvent("search.results", "submit", PARAMETERS)] * EVENTS
        rows = Rows(url)
        batches = iter([rows.make(EVENTS) for _ in range(rounds + 1)])
        raw = raw_batch(kind, stores.fresh(kind))

        def ours(recorder: Any = recorder, events: Any = events) -> float:
            return seconds(lambda: recorder.batch_record(events))

        def floor(rows: Rows = rows, raw: Any = raw, batches: Any = batches) -> float:
            batch = next(batches)
            return seconds(lambda: rows.make(EVENTS)) + seconds(lambda: raw(batch))

        with usual_context():
            figures = interleave({"ours": ours, "floor": floor}, rounds)
        recorder.close()
        yield Comparison(f"batch_record, 10,000 events, {kind}", "s", figures, goal)


def raw_batch(kind: str, url: str) -> Callable[[list[Any]], None]:
    """Return the floor: prepared rows of both tables in one transaction."""
    if kind == "sqlite":
        connection = sqlite_connection(url)
        inserts = EventInserts(dialect_of_url(make_url(url)))

        def write_sqlite(rows: list[Any]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(inserts.queued.statement, [row.export_queue for row in rows])
            connection.executemany(inserts.logged.statement, [row.event_logs for row in rows])
            connection.execute("COMMIT")

        return write_sqlite
    postgres = postgres_connection(url)
    tables = (
        ("telemetry_events_export_queue", QUEUED_COLUMNS, "export_queue"),
        ("event_logs", WRITTEN_COLUMNS, "event_logs"),
    )

    def write_postgres(rows: list[Any]) -> None:
        with postgres.transaction():
            for table, columns, attribute in tables:
                statement: Any = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
                with postgres.cursor() as cursor, cursor.copy(statement) as copy:
                    for row in rows:
                        copy.write_row(getattr(row, attribute))

    return write_postgres
