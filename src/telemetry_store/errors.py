"""What can go wrong between an event and the database.

A driver's own text may quote the row that failed, so none of it is passed on: the class, the
SQLSTATE or SQLite's error name, and our advice are. For the same reason the driver's error
is never chained to ours.
"""

import os
import re
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from telemetry import InvalidInputError, TelemetryError


class RecorderError(TelemetryError):
    """Base of what goes wrong with the database. The event was not stored, in neither table.

    `DatabaseUnavailableError` has the one exception.
    """


class DatabaseUnavailableError(RecorderError):
    """The database cannot be reached, does not answer, or the connection broke.

    Where it broke while the event was being written, nobody can know whether it was: then it is stored whole, or not
    at all. A caller who must know records it again under the same id; `DuplicateEventError` says that it was.
    """

    affects_every_event = True


class DatabaseBusyError(RecorderError):
    """The database stayed locked longer than the busy timeout, or the pool stayed empty."""

    affects_every_event = True


class DatabaseReadOnlyError(RecorderError):
    """The database may not be written."""

    affects_every_event = True


class DatabaseFullError(RecorderError):
    """The disk, or the database's own limit, is full."""

    affects_every_event = True


class DuplicateEventError(RecorderError, ValueError):
    """An event with this id was recorded before."""


class SchemaVersionError(RecorderError):
    """The database's tables are missing, or of another version than this code's."""

    affects_every_event = True


class UnsupportedDatabaseError(RecorderError, ValueError):
    """The database or its driver is none that the recorder can write to."""


class DatabaseFailedError(RecorderError):
    """Anything else that the database refused."""


class InvalidConnectionError(InvalidInputError):
    """What was given as `connection` has no transaction that an event could join."""


_INCOMPLETE: Final = ": a table or a column is missing; see: telemetry db check"
_NO_SUCH: Final = re.compile(r"no such (?:table|column): |table \S+ has no column ")
_LOCKED: Final = (
    DatabaseBusyError,
    "the database stayed locked by another writer; it may be the caller's own open transaction: then give connection=",
)
_READ_ONLY: Final = (
    DatabaseReadOnlyError,
    "the database is read-only: its file or folder may not be written, or the file system is mounted read-only",
)
_SQLITE: Final = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CANTOPEN": (DatabaseUnavailableError, "the database file cannot be opened; check that its folder exists"),
    "SQLITE_IOERR": (DatabaseUnavailableError, "reading or writing the database file failed"),
    "SQLITE_FULL": (DatabaseFullError, "the disk or the database is full"),
    "SQLITE_NOTADB": (DatabaseUnavailableError, "the file is no SQLite database"),
    "SQLITE_CORRUPT": (DatabaseUnavailableError, "the database file is damaged"),
    "SQLITE_CONSTRAINT_PRIMARYKEY": (DuplicateEventError, "an event with this id was recorded before"),
    "SQLITE_CONSTRAINT_UNIQUE": (DuplicateEventError, "an event with this id was recorded before"),
}
_POSTGRESQL: Final = {
    "23505": (DuplicateEventError, "an event with this id was recorded before"),
    "25006": (DatabaseReadOnlyError, "the database is read-only"),
    "42501": (DatabaseReadOnlyError, "the database user may not write the telemetry tables"),
    "53100": (DatabaseFullError, "the disk is full"),
    "53300": (DatabaseBusyError, "the database has no connection to spare"),
    "55P03": (DatabaseBusyError, "a lock was not granted in time"),
    "57014": (DatabaseBusyError, "the statement was cancelled, by a timeout or an administrator"),
    "28P01": (DatabaseUnavailableError, "the database refused the credentials"),
    "28000": (DatabaseUnavailableError, "the database refused the credentials"),
    "3D000": (DatabaseUnavailableError, "the database does not exist"),
    "42P01": (DatabaseFailedError, f"refused by PostgreSQL{_INCOMPLETE}"),
    "42703": (DatabaseFailedError, f"refused by PostgreSQL{_INCOMPLETE}"),
}
_UNREACHABLE = (DatabaseUnavailableError, "the database cannot be reached")
# A connection that did not come about has no SQLSTATE: libpq has text only. It is looked at, and never passed on.
# Where the server speaks another language than English, `_UNREACHABLE` is all that is said.
_CONNECTING: Final = (
    (
        re.compile(r"Connection refused|No such file or directory"),
        "the database cannot be reached: nothing listens there; see the URL's host and port, and the server",
    ),
    (
        re.compile(r"failed to resolve host|could not translate host name|Name or service not known"),
        "the database cannot be reached: the URL's host is not known",
    ),
    (re.compile(r"too many clients|remaining connection slots"), "the database has no connection to spare"),
    (re.compile(r"password authentication failed|no password supplied"), "the database refused the credentials"),
    (re.compile(r"database \".*\" does not exist"), "the database does not exist; make it on the server first"),
    (re.compile(r"role \".*\" does not exist"), "the database does not know the URL's user"),
    (re.compile(r"no pg_hba\.conf entry"), "the database takes no such connection; see pg_hba.conf on the server"),
)
_SILENT = (DatabaseUnavailableError, "the database did not answer in time")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


def database_failure(error: Exception, file: Path | None = None) -> RecorderError:
    """Returns the error to raise for what SQLAlchemy or a driver raised, without any of its text.

    Args:
        error: What was raised.
        file: The file that keeps the database, if one does.
    """
    if isinstance(error, PoolTimeoutError):
        return DatabaseBusyError("no database connection became free in time (pool timeout)")
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    code, (kind, advice) = _classify(original)
    # A database beside which no log can be made cannot even be read, so the driver does not say read-only.
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
        refused = "refused by SQLite" + (_INCOMPLETE if _NO_SUCH.match(str(original)) else "")
        return sqlite_name, _SQLITE.get(sqlite_name, _SQLITE.get(family, (DatabaseFailedError, refused)))
    sqlstate = getattr(original, "sqlstate", None)
    if isinstance(sqlstate, str) and _SQLSTATE.fullmatch(sqlstate):
        if sqlstate[:2] in ("08", "57") and sqlstate not in _POSTGRESQL:
            return sqlstate, _UNREACHABLE
        return f"{name}, SQLSTATE {sqlstate}", _POSTGRESQL.get(sqlstate, (DatabaseFailedError, "refused by PostgreSQL"))
    if name == "AnswerTimeoutError":
        return name, _SILENT
    # Drivers have leaves of these, such as psycopg's ConnectionTimeout.
    if {"OperationalError", "InterfaceError"} & {kind.__name__ for kind in type(original).__mro__}:
        text = str(original)
        advice = next((advice for pattern, advice in _CONNECTING if pattern.search(text)), _UNREACHABLE[1])
        return name, (DatabaseUnavailableError, advice)
    return name, (DatabaseFailedError, "the database operation failed")
