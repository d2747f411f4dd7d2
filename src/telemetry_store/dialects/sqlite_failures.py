"""The errors of SQLite, converted to ours by SQLite's name of the error."""

import os
import re
import sqlite3
from pathlib import Path
from typing import Final

from telemetry_store.errors import (
    DatabaseBusyError,
    DatabaseFailedError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    DuplicateEventError,
    RecorderError,
)

_LOCKED: Final = (
    DatabaseBusyError,
    "the database stayed locked by another writer; if that is the caller's own open transaction, pass connection=",
)
_READ_ONLY: Final[tuple[type[RecorderError], str]] = (
    DatabaseReadOnlyError,
    "the database is read-only: its file or folder is not writable, or the file system is mounted read-only",
)
_BY_NAME: Final[dict[str, tuple[type[RecorderError], str]]] = {
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
_NO_SUCH: Final = re.compile(r"no such (?:table|column): |table \S+ has no column ")


def sqlite_failure(error: BaseException, file: Path | None) -> RecorderError:
    """Return the error to raise for an error of the driver, without its text.

    Args:
        error: The error of the driver.
        file: The file of the database; None for a database in memory.
    """
    name: str | None = getattr(error, "sqlite_errorname", None)
    if name is None:  # raised by Python's module itself
        kind = type(error).__name__
        if isinstance(error, sqlite3.OperationalError | sqlite3.InterfaceError):
            return DatabaseUnavailableError(f"the database cannot be reached ({kind})")
        return DatabaseFailedError(f"the database operation failed ({kind})")
    family = "_".join(name.split("_")[:2])
    failure, advice = _BY_NAME.get(name) or _BY_NAME.get(family) or (DatabaseFailedError, _rejected(error))
    # SQLite cannot even read a WAL database in a read-only folder, so its error is "cannot open", not "read-only".
    if family == "SQLITE_CANTOPEN" and file is not None and _is_read_only(file.parent):
        failure, advice = _READ_ONLY
    return failure(f"{advice} ({name})")


def _rejected(error: BaseException) -> str:
    if _NO_SUCH.match(str(error)):
        return "rejected by SQLite: a table or a column is missing; see: telemetry db check"
    return "rejected by SQLite"


def _is_read_only(folder: Path) -> bool:
    return folder.is_dir() and not os.access(folder, os.W_OK)
