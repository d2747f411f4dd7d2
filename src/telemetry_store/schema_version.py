"""Which version the database's tables are of, and whether this code can use them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from sqlalchemy import Column, Connection, String, Table

from telemetry_store.dialects import DatabaseDialect
from telemetry_store.errors import SchemaVersionError
from telemetry_store.tables import metadata

SCHEMA_VERSION: Final = "0002"
"""The migration that this code's tables are made by."""

VERSION_TABLE: Final = "telemetry_alembic_version"
"""Keeps our version apart from that of a host that uses Alembic in the same database."""

schema_compatibility = Table(
    "telemetry_schema_compatibility", metadata, Column("oldest_code", String(32), primary_key=True)
)
"""One row: the oldest code version that may still use the database.

A migration that only adds leaves it as it is, so that processes of the former release go on, and new
ones of it start, while a rolling deploy lasts. One that takes something away sets it first.
"""

T = TypeVar("T")


class Readable(Protocol):
    """A `Database`, as far as finding out its version needs it."""

    @property
    def dialect(self) -> DatabaseDialect:
        """What the database does differently from others."""
        ...

    @property
    def missing_file(self) -> Path | None:
        """The file that a connection would create."""
        ...

    def read_unchecked(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction that does not write, whatever version the tables are of."""
        ...


def check_schema_version(database: Readable) -> None:
    """Checks that this code can use the database's tables.

    They are of this code's version, or of a newer one that says that it still serves this code. Does not create a
    missing SQLite file, so a typo cannot leave an empty database behind.

    Raises:
        SchemaVersionError: They are missing, or of another version; says which command migrates.
        RecorderError: The database failed.
    """
    if database.missing_file is not None:
        # Not which: a probe that anybody may ask passes the text on.
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
            f"the database is of version {found}, which serves code of version {oldest or found} and later, and this "
            f"code is of {SCHEMA_VERSION}; upgrade the package telemetry-recorder in this process"
        )
    raise SchemaVersionError(
        f"the database is of version {found}, this code needs {SCHEMA_VERSION}; run: telemetry db upgrade"
    )


def schema_version(database: Readable) -> str | None:
    """Returns the version of the database's tables; None where there are none yet.

    Raises:
        RecorderError: The database failed.
    """
    return _text_of(database, VERSION_TABLE, "version_num")


def oldest_code(database: Readable) -> str | None:
    """Returns the oldest code version that the database serves; None where it does not say, or there are no tables.

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
