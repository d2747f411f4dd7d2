"""Migrates a database's tables to the version that this code needs."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from telemetry_store.database import Database
from telemetry_store.dialects import dialect_of
from telemetry_store.errors import SchemaVersionError
from telemetry_store.migrations.check import missing_indexes, missing_tables
from telemetry_store.migrations.online import OnlineChanges, OvertakenError
from telemetry_store.schema_version import SCHEMA_VERSION, check_schema_version, schema_version
from telemetry_store.tables import condition_of

_MAX_RESTARTS: Final = 10
_ONE_THREAD: Final = threading.Lock()
"""Alembic keeps its state in global variables of the process."""


def _ignore_message(_text: str) -> None:
    """Ignore a message."""


def upgrade_database(
    engine: Engine,
    *,
    patience: timedelta = timedelta(minutes=10),
    notify: Callable[[str], None] = _ignore_message,
) -> str:
    """Create or migrate the tables in small steps; return the version that the database has now.

    Services can keep writing during an upgrade. Tables of the original system, `event_logs` and
    `telemetry_events_export_queue`, are adopted with their rows. The next upgrade completes one that was interrupted.
    Processes that upgrade at the same time wait for each other. A database that is newer than this code, but
    compatible with it, is not changed. Missing indexes are built.

    Args:
        engine: Where the tables are. On PostgreSQL it must have real sessions, not a pooler in transaction mode.
        patience: How long to retry to lock a table that other transactions hold.
        notify: Called with a description of each step.

    Raises:
        SchemaVersionError: A table cannot be adopted, and nothing was changed. Or the database is too new, or a table
            was dropped.
        RecorderError: The database failed.
    """
    database = Database(engine)
    found = schema_version(database)
    if found is not None and found > SCHEMA_VERSION:
        check_schema_version(database)
        return found
    with _ONE_THREAD:
        database.run(lambda: _upgrade(engine, patience, notify))
    return SCHEMA_VERSION


def _upgrade(engine: Engine, patience: timedelta, notify: Callable[[str], None]) -> None:
    dialect = dialect_of(engine)
    with engine.connect() as connection, dialect.exclusive_upgrade(connection):
        changes = OnlineChanges(connection, patience=patience, notify=notify)
        restarts = 0
        while True:
            try:
                command.upgrade(_config(changes), SCHEMA_VERSION)
            except (IntegrityError, CommandError, OvertakenError):
                # On a database where upgrades do not wait for each other, each step is made by the first process. The
                # second process to write a version restarts from that version.
                connection.rollback()
                restarts += 1
                if dialect.upgrades_wait or restarts > _MAX_RESTARTS:
                    raise
            else:
                break
        if lost := missing_tables(connection):
            raise SchemaVersionError(
                f"{' and '.join(lost)} cannot be found, although the database is of version {SCHEMA_VERSION}: "
                "an upgrade cannot restore a dropped table; restore it from a backup"
            )
        # Build indexes again that were dropped, or whose build was interrupted.
        for index in missing_indexes(connection):
            assert index.table is not None  # noqa: S101 - they belong to our tables
            columns = [column.name for column in index.columns]
            changes.index(str(index.name), index.table.name, columns, where=condition_of(index))


def _config(changes: OnlineChanges) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["changes"] = changes
    return config
