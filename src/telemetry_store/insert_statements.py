"""The INSERTs for an event's rows, compiled once from the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import Dialect, Insert, bindparam, false, insert

from telemetry_store.event_logs import WRITTEN_COLUMNS, event_logs
from telemetry_store.export_queue import QUEUED_COLUMNS, export_queue

_LOGS_PREFIX: Final = "logs_"
_QUEUE_PREFIX: Final = "queue_"


@dataclass(frozen=True, slots=True)
class InsertStatements:
    """One database's statements, with positional parameters.

    Attributes:
        event_logs: One row of `event_logs`; parameters as `WRITTEN_COLUMNS`.
        export_queue: One row of the queue; parameters as `QUEUED_COLUMNS`.
        unlogged: The same, for an event that has no row in `event_logs`.
        both: Both rows in one statement, the queue's parameters first; None where the database cannot.
    """

    event_logs: str
    export_queue: str
    unlogged: str
    both: str | None


def _insert_event_logs() -> Insert:
    return insert(event_logs).values({name: bindparam(f"{_LOGS_PREFIX}{name}") for name in WRITTEN_COLUMNS})


def _insert_export_queue(**more: Any) -> Insert:
    return insert(export_queue).values({name: bindparam(f"{_QUEUE_PREFIX}{name}") for name in QUEUED_COLUMNS} | more)


def _compile(statement: Insert, dialect: Dialect, expected: Sequence[str]) -> str:
    compiled: Any = statement.compile(dialect=dialect)
    if list(compiled.positiontup) != list(expected):
        raise AssertionError(f"parameters are compiled in another order: {compiled.positiontup}")
    return str(compiled)


_LOGS_PARAMETERS: Final = [f"{_LOGS_PREFIX}{name}" for name in WRITTEN_COLUMNS]
_QUEUE_PARAMETERS: Final = [f"{_QUEUE_PREFIX}{name}" for name in QUEUED_COLUMNS]


@cache
def insert_statements(dialect_name: str) -> InsertStatements:
    """Returns the statements for `sqlite` or `postgresql`, compiled when they are first asked for."""
    return _for_sqlite() if dialect_name == "sqlite" else _for_postgresql()


def _for_sqlite() -> InsertStatements:
    from sqlalchemy.dialects.sqlite.base import SQLiteDialect  # noqa: PLC0415 - for services on SQLite alone

    dialect = SQLiteDialect(paramstyle="qmark")
    return InsertStatements(
        event_logs=_compile(_insert_event_logs().inline(), dialect, _LOGS_PARAMETERS),
        export_queue=_compile(_insert_export_queue().inline(), dialect, _QUEUE_PARAMETERS),
        unlogged=_compile(_insert_export_queue(in_event_logs=false()).inline(), dialect, _QUEUE_PARAMETERS),
        both=None,
    )


def _for_postgresql() -> InsertStatements:
    from sqlalchemy.dialects.postgresql.base import PGDialect  # noqa: PLC0415 - for services on PostgreSQL alone

    dialect = PGDialect(paramstyle="format")  # type: ignore[no-untyped-call]
    # A statement that changes data inside WITH runs in the same transaction, in the same round trip.
    both = _insert_event_logs().inline().add_cte(_insert_export_queue().returning(export_queue.c.id).cte("queued"))
    return InsertStatements(
        event_logs=_compile(_insert_event_logs().inline(), dialect, _LOGS_PARAMETERS),
        export_queue=_compile(_insert_export_queue().inline(), dialect, _QUEUE_PARAMETERS),
        unlogged=_compile(_insert_export_queue(in_event_logs=false()).inline(), dialect, _QUEUE_PARAMETERS),
        both=_compile(both, dialect, [*_QUEUE_PARAMETERS, *_LOGS_PARAMETERS]),
    )
