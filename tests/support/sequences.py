"""Databases and settings for state machines, which run thousands of short sequences."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from hypothesis import settings
from sqlalchemy import event

from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

SEQUENCES = int(os.environ.get("TELEMETRY_TEST_SEQUENCES", "15"))
"""The number of sequences for each machine and each database; `make faults` sets more."""


def sequences(*, steps: int) -> settings:
    """Return the settings of a state machine."""
    return settings(max_examples=SEQUENCES, stateful_step_count=steps)


@contextmanager
def open_without_syncing(url: str) -> Iterator[Database]:
    """Open a database without fsync, because these sequences test states and not power cuts.

    Logging is turned off, too: pytest would keep the log lines of a hundred thousand passes in memory.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    engine = create_database_engine(url)

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _record: object) -> None:
        if engine.dialect.name == "sqlite":
            dbapi_connection.execute("PRAGMA synchronous=OFF")
        else:
            dbapi_connection.execute("SET synchronous_commit = off")
            dbapi_connection.commit()

    database = Database(engine)
    yield database
    database.close()


def empty_the_queue(database: Database) -> None:
    """Delete all rows. TRUNCATE is not used, because it creates new files on PostgreSQL."""
    with database.engine.begin() as connection:
        for table in ("telemetry_events_export_queue", "telemetry_export_ledger", "event_logs"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
