"""The errors of the database.

A driver's message may quote the row that failed. So our errors hold only the class of the driver's error, the SQLSTATE
or SQLite's error name, and our own advice. For the same reason the driver's error is never chained to ours.
"""

import os
import re
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from telemetry import InvalidInputError, TelemetryError


class RecorderError(TelemetryError):
    """Base class of database errors. The event was not stored in either table.

    The only exception is described in `DatabaseUnavailableError`.
    """


class DatabaseUnavailableError(RecorderError):
    """The database cannot be reached, does not reply, or the connection broke.

    If the connection broke during the write, it is unknown whether the event was stored: it is stored completely or
    not at all. To find out, record it again with the same id: `DuplicateEventError` means that it was stored.
    """

    affects_every_event = True


class DatabaseBusyError(RecorderError):
    """The database stayed locked longer than the busy timeout, or the pool stayed empty."""

    affects_every_event = True


class DatabaseReadOnlyError(RecorderError):
    """The database is read-only."""

    affects_every_event = True


class DatabaseFullError(RecorderError):
    """The disk is full, or the database has reached its own size limit."""

    affects_every_event = True


class DuplicateEventError(RecorderError, ValueError):
    """An event with this id was already recorded."""


class SchemaVersionError(RecorderError):
    """The database's tables are missing, or of a version that this code does not support."""

    affects_every_event = True


class UnsupportedDatabaseError(RecorderError, ValueError):
    """The database or its driver is not supported."""


class DatabaseFailedError(RecorderError):
    """The database rejected the operation for another reason."""


class InvalidConnectionError(InvalidInputError):
    """The argument `connection` has no transaction that an event could join."""


_INCOMPLETE: Final = ": a table or a column is missing; see: telemetry db check"
_NO_SUCH: Final = re.compile(r"no such (?:table|column): |table \S+ has no column ")
_LOCKED: Final = (
    DatabaseBusyError,
    "the database stayed locked by another writer; if that is the caller's own open transaction, pass connection=",
)
_READ_ONLY: Final = (
    DatabaseReadOnlyError,
    "the database is read-only: its file or folder is not writable, or the file system is mounted read-only",
)
_SQLITE: Final = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": (DatabaseUnavailableError, "the database file cannot be opened; check that its folder exists"),
    "SQLITE_IOERR": (DatabaseUnavailableError, "reading or writing the database file failed"),
    "SQLITE_FULL": (DatabaseFullError, "the disk or the database is full"),
    "SQLITE_NOTADB": (DatabaseUnavailableError, "the file is not a SQLite database"),
    "SQLITE_CORRUPT": (DatabaseUnavailableError, "the database file is damaged"),
    "SQLITE_CONSTRAINT_PRIMARYKEY": (DuplicateEventError, "an event with this id was recorded before"),
    "SQLITE_CONSTRAINT_UNIQUE": (DuplicateEventError, "an event with this id was recorded before"),
}
_POSTGRESQL: Final = {
    "23505": (DuplicateEventError, "an event with this id was recorded before"),
    "25006": (DatabaseReadOnlyError, "the database is read-only"),
    "42501": (DatabaseReadOnlyError, "the database user may not write the telemetry tables"),
    "53100": (DatabaseFullError, "the disk is full"),
    "53300": (DatabaseBusyError, "the database has no free connection"),
    "55P03": (DatabaseBusyError, "a lock was not granted in time"),
    "57014": (DatabaseBusyError, "the statement was cancelled, by a timeout or an administrator"),
    "28P01": (DatabaseUnavailableError, "the database rejected the credentials"),
    "28000": (DatabaseUnavailableError, "the database rejected the credentials"),
    "3D000": (DatabaseUnavailableError, "the database does not exist"),
    "42P01": (DatabaseFailedError, f"rejected by PostgreSQL{_INCOMPLETE}"),
    "42703": (DatabaseFailedError, f"rejected by PostgreSQL{_INCOMPLETE}"),
}
_UNREACHABLE = (DatabaseUnavailableError, "the database cannot be reached")
# A connection that failed to open has no SQLSTATE, only a text of libpq. The text is matched, but never passed on.
# If the server's messages are not in English, the error says only `_UNREACHABLE`.
_CONNECT_ERRORS: Final = (
    (
        re.compile(r"Connection refused|No such file or directory"),
        "the database cannot be reached: nothing listens there; check the URL's host and port, and the server",
    ),
    (
        re.compile(r"failed to resolve host|could not translate host name|Name or service not known"),
        "the database cannot be reached: the URL's host is unknown",
    ),
    (re.compile(r"too many clients|remaining connection slots"), "the database has no free connection"),
    (re.compile(r"password authentication failed|no password supplied"), "the database rejected the credentials"),
    (re.compile(r"database \".*\" does not exist"), "the database does not exist; create it on the server first"),
    (re.compile(r"role \".*\" does not exist"), "the URL's user does not exist in the database"),
    (
        re.compile(r"no pg_hba\.conf entry"),
        "the database does not accept this connection; see pg_hba.conf on the server",
    ),
)
_TIMED_OUT = (DatabaseUnavailableError, "the database did not answer in time")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


def database_failure(error: Exception, file: Path | None = None) -> RecorderError:
    """Return the error to raise for an error of SQLAlchemy or a driver, without its text.

    Args:
        error: The error of SQLAlchemy or the driver.
        file: The file of the database, if it is in a file.
    """
    if isinstance(error, PoolTimeoutError):
        return DatabaseBusyError("no database connection became free in time (pool timeout)")
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    code, (kind, advice) = _classify(original)
    # SQLite cannot even read a WAL database in a read-only folder, so its error is "cannot open", not "read-only".
    if file is not None and code.startswith("SQLITE_CANTOPEN") and _is_read_only(file.parent):
        kind, advice = _READ_ONLY
    return kind(f"{advice} ({code})")


def _is_read_only(folder: Path) -> bool:
    return folder.is_dir() and not os.access(folder, os.W_OK)


def _classify(original: BaseException) -> tuple[str, tuple[type[RecorderError], str]]:
    name = type(original).__name__
    sqlite_name = getattr(original, "sqlite_errorname", None)
    if isinstance(sqlite_name, str):
        family = "_".join(sqlite_name.split("_")[:2])
        rejected = "rejected by SQLite" + (_INCOMPLETE if _NO_SUCH.match(str(original)) else "")
        return sqlite_name, _SQLITE.get(sqlite_name, _SQLITE.get(family, (DatabaseFailedError, rejected)))
    sqlstate = getattr(original, "sqlstate", None)
    if isinstance(sqlstate, str) and _SQLSTATE.fullmatch(sqlstate):
        if sqlstate[:2] in ("08", "57") and sqlstate not in _POSTGRESQL:
            return sqlstate, _UNREACHABLE
        return f"{name}, SQLSTATE {sqlstate}", _POSTGRESQL.get(
            sqlstate, (DatabaseFailedError, "rejected by PostgreSQL")
        )
    if name == "AnswerTimeoutError":
        return name, _TIMED_OUT
    # Drivers have subclasses of these, such as psycopg's ConnectionTimeout.
    if {"OperationalError", "InterfaceError"} & {kind.__name__ for kind in type(original).__mro__}:
        text = str(original)
        advice = next((advice for pattern, advice in _CONNECT_ERRORS if pattern.search(text)), _UNREACHABLE[1])
        return name, (DatabaseUnavailableError, advice)
    return name, (DatabaseFailedError, "the database operation failed")
