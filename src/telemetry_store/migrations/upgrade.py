"""Brings a database's tables to the version that this code needs."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from telemetry_store.database import SCHEMA_VERSION, Database, check_schema_version, schema_version
from telemetry_store.errors import SchemaVersionError
from telemetry_store.migrations.check import condition_of, missing_indexes, missing_tables
from telemetry_store.migrations.online import OnlineChanges, OvertakenError

# Any number will do that no other user of advisory locks in the same database takes.
_UPGRADE_LOCK: Final = 7_352_019_846_120_334
_MOST_OTHERS: Final = 10
_LOCK_ASKED_EVERY: Final = 0.2
_ONE_THREAD: Final = threading.Lock()
"""Alembic keeps what it works on in variables of the process."""


def _to_nobody(_text: str) -> None:
    """Tells nobody."""


def upgrade_database(
    engine: Engine,
    *,
    patience: timedelta = timedelta(minutes=10),
    tell: Callable[[str], None] = _to_nobody,
) -> str:
    """Makes or migrates the tables, in small steps; returns the version that the database has now.

    Services may go on writing meanwhile. Tables of the original system, `event_logs` and
    `telemetry_events_export_queue`, are adopted with their rows. An upgrade that was interrupted is completed
    by the next one; processes that upgrade at the same time wait for each other. A database that is newer
    than this code, and still serves it, is left as it is. Indexes that are missing are built.

    Args:
        engine: Where the tables are. On PostgreSQL with real sessions: no pooler in transaction mode in between.
        patience: How long to go on asking for a table that other transactions hold.
        tell: Told in words what is being done.

    Raises:
        SchemaVersionError: A table cannot be adopted, and nothing was changed; or the database is too new.
        RecorderError: The database failed.
    """
    database = Database(engine)
    found = schema_version(database)
    if found is not None and found > SCHEMA_VERSION:
        check_schema_version(database)
        return found
    with _ONE_THREAD:
        database.run(lambda: _upgrade(engine, patience, tell))
    return SCHEMA_VERSION


def _upgrade(engine: Engine, patience: timedelta, tell: Callable[[str], None]) -> None:
    with engine.connect() as connection, _alone(connection):
        changes = OnlineChanges(connection, patience=patience, tell=tell)
        others = 0
        while True:
            try:
                command.upgrade(_config(changes), SCHEMA_VERSION)
            except (IntegrityError, CommandError, OvertakenError):
                # On SQLite others may upgrade at the same time. Each step is made by whoever comes
                # first; who comes second to note that a version is reached begins again from there.
                connection.rollback()
                others += 1
                if not changes.is_sqlite or others > _MOST_OTHERS:
                    raise
            else:
                break
        if lost := missing_tables(connection):
            raise SchemaVersionError(
                f"{' and '.join(lost)} cannot be found, though the database is of version {SCHEMA_VERSION}: somebody "
                "dropped what no upgrade can bring back; restore it from a backup"
            )
        # What somebody dropped, or a build that was interrupted left behind, is built anew.
        for index in missing_indexes(connection):
            assert index.table is not None  # noqa: S101 - they are our tables'
            columns = [column.name for column in index.columns]
            changes.index(str(index.name), index.table.name, columns, where=condition_of(index))


@contextmanager
def _alone(connection: Connection) -> Generator[None]:
    """Keeps other upgrades of a PostgreSQL database waiting.

    The lock is the session's, not a transaction's, and is asked for again and again: a waiting statement, or an
    open transaction, would be waited for by the other's index build.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_UPGRADE_LOCK})").scalar():
        connection.commit()
        time.sleep(_LOCK_ASKED_EVERY)
    # A role may have limits that suit its queries; an index of a large table takes longer.
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("RESET statement_timeout")
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_UPGRADE_LOCK})")
        connection.commit()


def _config(changes: OnlineChanges) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["changes"] = changes
    return config
