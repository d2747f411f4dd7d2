"""Brings a database's tables to the version that this code needs."""

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

_MOST_OTHERS: Final = 10
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
    dialect = dialect_of(engine)
    with engine.connect() as connection, dialect.upgrading_alone(connection):
        changes = OnlineChanges(connection, patience=patience, tell=tell)
        others = 0
        while True:
            try:
                command.upgrade(_config(changes), SCHEMA_VERSION)
            except (IntegrityError, CommandError, OvertakenError):
                # Where nothing keeps others from upgrading at the same time, each step is made by the first one;
                # the second one to note that a version is reached begins again from there.
                connection.rollback()
                others += 1
                if dialect.upgrades_wait or others > _MOST_OTHERS:
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


def _config(changes: OnlineChanges) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["changes"] = changes
    return config
