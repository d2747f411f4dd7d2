"""`record` with one caller, compared with the raw driver and with common SQLAlchemy Core code."""

from collections.abc import Callable, Iterator
from typing import Any

from measure import Comparison, interleave, seconds_per_call
from sqlalchemy import Engine, insert, make_url
from stores import PARAMETERS, Rows, Stores, postgres_connection, recorder_on, sqlite_connection, usual_context

from telemetry_store.dialects import dialect_of_url
from telemetry_store.engine import create_database_engine
from telemetry_store.event_inserts import EventInserts
from telemetry_store.event_logs import event_logs
from telemetry_store.export_queue import export_queue

GOALS = {"sqlite": 1.3, "postgresql": 1.5}


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    calls, rounds = (500, 15) if full else (200, 7)
    for kind, goal in GOALS.items():
        url = stores.fresh(kind)
        recorder = recorder_on(url)
        rows = Rows(url)
        ready = iter(rows.make(calls * (rounds + 1)))
        core_ready = iter([rows.for_core(row) for row in rows.make(calls * (rounds + 1))])
        raw = raw_writer(kind, stores.fresh(kind))
        core = core_writer(create_database_engine(stores.fresh(kind)))

        def ours(recorder: Any = recorder) -> None:
            recorder.record("search.results", "submit", PARAMETERS)

        def floor(raw: Any = raw, ready: Any = ready) -> None:
            raw(next(ready))

        def plain_core(core: Any = core, ready: Any = core_ready) -> None:
            core(next(ready))

        cases = {"ours": ours, "floor": floor, "Core, plain": plain_core}
        with usual_context():
            figures = interleave({name: seconds_per_call(call, calls) for name, call in cases.items()}, rounds)
        recorder.close()
        yield Comparison(f"record, one caller, {kind}", "s", figures, goal)


def raw_writer(kind: str, url: str) -> Callable[[Any], None]:
    """Return the floor: both rows through the raw driver on an open connection, one commit."""
    inserts = EventInserts(dialect_of_url(make_url(url)))
    if kind == "sqlite":
        connection = sqlite_connection(url)

        def write_sqlite(row: Any) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(inserts.queued.statement, row.export_queue)
            connection.execute(inserts.logged.statement, row.event_logs)
            connection.execute("COMMIT")

        return write_sqlite
    postgres = postgres_connection(url)
    both: Any = inserts.both

    def write_postgres(row: Any) -> None:
        postgres.execute(both, row.export_queue + row.event_logs)

    return write_postgres


def core_writer(engine: Engine) -> Callable[[Any], None]:
    """Return the peer: two `insert()` statements in a transaction, on a connection from the pool."""

    def write(row: Any) -> None:
        in_queue, in_logs = row
        with engine.begin() as connection:
            connection.execute(insert(export_queue), in_queue)
            connection.execute(insert(event_logs), in_logs)

    return write
