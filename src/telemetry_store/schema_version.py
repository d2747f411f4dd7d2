"""The version of the database's tables, and whether this code can use them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from sqlalchemy import Column, Connection, String, Table

from telemetry_store.dialects import DatabaseDialect
from telemetry_store.errors import SchemaVersionError
from telemetry_store.tables import metadata

SCHEMA_VERSION: Final = "0002"
"""The latest migration of this code."""

VERSION_TABLE: Final = "telemetry_alembic_version"
"""Separates our version from that of a host that uses Alembic in the same database."""

schema_compatibility = Table(
    "telemetry_schema_compatibility", metadata, Column("oldest_code", String(32), primary_key=True)
)
"""One row: the oldest code version that may still use the database.

A migration that only adds does not change it, so that processes of the former release continue, and new ones can
start, during a rolling deployment. A migration that removes something sets it first.
"""

T = TypeVar("T")


class Readable(Protocol):
    """The part of `Database` that is needed to read its version."""

    @property
    def dialect(self) -> DatabaseDialect:
        """How this kind of database differs from others."""
        ...

    @property
    def missing_file(self) -> Path | None:
        """The database's file if it does not exist, so that a connection would create it."""
        ...

    def read_unchecked(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read-only transaction, without checking the version of the tables."""
        ...


def check_schema_version(database: Readable) -> None:
    """Check that this code can use the database's tables.

    They must be of this code's version, or of a newer one that is compatible with this code. Does not create a missing
    SQLite file, so a typo cannot leave an empty database behind.

    Raises:
        SchemaVersionError: They are missing, or of another version; the message names the command to run.
        RecorderError: The database failed.
    """
    if database.missing_file is not None:
        # Without the file's name, because a readiness probe that anyone may call shows the message.
        raise SchemaVersionError(
            "there is no such database file; correct TELEMETRY_DATABASE_URL, or run: telemetry db upgrade"
        )
    found = schema_version(database)
    if found == SCHEMA_VERSION:
        return
    if found is None:
        raise SchemaVersionError("the database has no telemetry tables yet; run: telemetry db upgrade")
    if found > SCHEMA_VERSION:
        oldest = oldest_code(database)
        if oldest is not None and oldest <= SCHEMA_VERSION:
            return
        raise SchemaVersionError(
            f"the database is of version {found}, which needs code of version {oldest or found} or later, and this "
            f"code is of version {SCHEMA_VERSION}; upgrade the package telemetry-recorder in this process"
        )
    raise SchemaVersionError(
        f"the database is of version {found}, this code needs {SCHEMA_VERSION}; run: telemetry db upgrade"
    )


def schema_version(database: Readable) -> str | None:
    """Return the version of the database's tables; None if they do not exist yet.

    Raises:
        RecorderError: The database failed.
    """
    return _text_of(database, VERSION_TABLE, "version_num")


def oldest_code(database: Readable) -> str | None:
    """Return the oldest code version that is compatible with the database; None if it is not stored.

    Raises:
        RecorderError: The database failed.
    """
    return _text_of(database, schema_compatibility.name, "oldest_code")


def _text_of(database: Readable, table: str, column: str) -> str | None:
    if database.missing_file is not None:
        return None

    def reading(connection: Connection) -> str | None:
        if not database.dialect.has_table(connection, table):
            return None
        value: str | None = connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalar()  # noqa: S608 - names of ours
        return value

    return database.read_unchecked(reading)
