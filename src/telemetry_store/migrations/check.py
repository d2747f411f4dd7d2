"""Checks whether a database's tables, columns and indexes are as this code expects."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Index, Inspector, Table
from sqlalchemy.engine.interfaces import ReflectedIndex

from telemetry_store.database import Database
from telemetry_store.dialects import dialect_of
from telemetry_store.empty_tables import TABLES
from telemetry_store.schema_version import SCHEMA_VERSION, schema_version
from telemetry_store.tables import condition_of

_UPGRADE: Final = "run: telemetry db upgrade"
_RESTORE: Final = "an upgrade cannot restore its rows: restore it from a backup"


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """A difference from what the code expects.

    Attributes:
        place: The name of a table, `table.column` or index.
        problem: What is wrong with it, and what to do.
    """

    place: str
    problem: str


def find_schema_faults(database: Database) -> list[SchemaFault]:
    """Return the differences from what this code expects; an empty list if the tables can be used.

    Tables, columns and indexes that others have added are not faults. Neither is a newer version that still has
    everything.

    Raises:
        RecorderError: The database failed.
    """
    found = schema_version(database)
    if found is None:
        return [SchemaFault("the database", f"has no telemetry tables yet; {_UPGRADE}")]
    faults = [] if found >= SCHEMA_VERSION else [_old(found)]

    def looking() -> list[SchemaFault]:
        with database.engine.connect() as connection:
            inspector = sa.inspect(connection)
            lost = [] if faults else missing_tables(connection)
            there = [table for table in TABLES if table.name not in lost]
            gone = [SchemaFault(name, f"does not exist; {_RESTORE}") for name in lost]
            return gone + [fault for table in there for fault in _of_table(connection, inspector, table)]

    return faults + database.run(looking)


def missing_tables(connection: Connection) -> list[str]:
    """Return the names of the tables that this code needs and that do not exist."""
    inspector = sa.inspect(connection)
    return [table.name for table in TABLES if not inspector.has_table(table.name)]


def _old(found: str) -> SchemaFault:
    return SchemaFault("the database", f"is of version {found}, this code needs {SCHEMA_VERSION}; {_UPGRADE}")


def _of_table(connection: Connection, inspector: Inspector, table: Table) -> Iterator[SchemaFault]:
    if not inspector.has_table(table.name):
        yield SchemaFault(table.name, f"does not exist; {_UPGRADE}")
        return
    columns: dict[str, Any] = {column["name"]: column["type"] for column in inspector.get_columns(table.name)}
    for column in table.columns:
        place = f"{table.name}.{column.name}"
        if column.name not in columns:
            yield SchemaFault(place, f"does not exist; {_UPGRADE}")
        elif dialect_of(connection).keeps_column_types:
            expected = column.type.dialect_impl(connection.dialect)
            if columns[column.name]._type_affinity is not expected._type_affinity:  # noqa: SLF001 - as SQLAlchemy compares
                yield SchemaFault(place, f"is of type {columns[column.name]}; change it back, then {_UPGRADE}")
    yield from _of_indexes(connection, inspector, table)


def _of_indexes(connection: Connection, inspector: Inspector, table: Table) -> Iterator[SchemaFault]:
    invalid = dialect_of(connection).invalid_indexes(connection, table.name)
    for index in _missing_indexes(connection, inspector, table):
        name = str(index.name)
        if name in invalid:
            yield SchemaFault(name, f"was not built completely, so it is maintained but never used; {_UPGRADE}")
        else:
            yield SchemaFault(name, f"does not exist, so queries read the whole table {table.name}; {_UPGRADE}")


def missing_indexes(connection: Connection) -> list[Index]:
    """Return the indexes that this code needs and that are missing or invalid. All tables must exist."""
    inspector = sa.inspect(connection)
    return [index for table in TABLES for index in _missing_indexes(connection, inspector, table)]


def _missing_indexes(connection: Connection, inspector: Inspector, table: Table) -> Iterator[Index]:
    invalid = dialect_of(connection).invalid_indexes(connection, table.name)
    present = [index for index in inspector.get_indexes(table.name) if index["name"] not in invalid]
    names = {index["name"] for index in present}
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if index.name not in names and not _serves(index, present):
            yield index


def _serves(wanted: Index, present: Iterable[ReflectedIndex]) -> bool:
    """Return whether an index with another name can replace a wanted one: an adopted table has its own indexes."""
    columns = [column.name for column in wanted.columns]
    return condition_of(wanted) is None and any(
        index["column_names"][: len(columns)] == columns
        and not any(option.endswith("_where") for option in index.get("dialect_options", {}))
        for index in present
    )
