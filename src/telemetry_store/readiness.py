"""Checks whether events can be stored now, without storing one."""

from typing import Final

from sqlalchemy import Table

from telemetry_store.database import Database
from telemetry_store.event_logs import WRITTEN_COLUMNS, event_logs
from telemetry_store.export_queue import QUEUED_COLUMNS, export_queue
from telemetry_store.schema_version import check_schema_version


def _insert_nothing(table: Table, columns: tuple[str, ...]) -> str:
    nulls = ", ".join("NULL" for _ in columns)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {nulls} WHERE 1 = 0"


# They need what recording needs (tables, columns, privileges, a writable database), and insert no row.
_PROBES: Final = (
    _insert_nothing(event_logs, tuple(WRITTEN_COLUMNS)),
    _insert_nothing(export_queue, tuple(QUEUED_COLUMNS)),
)


def check_ready(database: Database) -> None:
    """Check that the tables exist, that this code can use their version, and that events can be written.

    Queries the database each time, in a transaction that is rolled back. Waits no longer than recording an event does.

    Raises:
        SchemaVersionError: The tables are missing, or of another version; the message names the command to run.
        DatabaseReadOnlyError: The database is read-only, or its user may not write.
        RecorderError: The database failed in another way.
    """
    check_schema_version(database)

    def probe() -> None:
        with database.engine.connect() as connection:  # rolls back at the end of the block
            for statement in _PROBES:
                connection.exec_driver_sql(statement)

    database.run(probe)
