"""The errors of PostgreSQL and its drivers, converted to ours by SQLSTATE."""

import re
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

_INCOMPLETE: Final = (
    DatabaseFailedError,
    "rejected by PostgreSQL: a table or a column is missing; see: telemetry db check",
)
_BY_SQLSTATE: Final[dict[str, tuple[type[RecorderError], str]]] = {
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
    "42P01": _INCOMPLETE,
    "42703": _INCOMPLETE,
}
_UNREACHABLE: Final = "the database cannot be reached"
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
_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_CONNECTION_CLASSES: Final = ("08", "57")
"""Classes of SQLSTATE: connection exceptions, and a server that shuts down."""


def postgresql_failure(error: BaseException) -> RecorderError:
    """Return the error to raise for an error of a driver, without its text."""
    name = type(error).__name__
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str) and _SQLSTATE.fullmatch(sqlstate):
        if sqlstate[:2] in _CONNECTION_CLASSES and sqlstate not in _BY_SQLSTATE:
            return DatabaseUnavailableError(f"{_UNREACHABLE} ({sqlstate})")
        kind, advice = _BY_SQLSTATE.get(sqlstate, (DatabaseFailedError, "rejected by PostgreSQL"))
        return kind(f"{advice} ({name}, SQLSTATE {sqlstate})")
    if name == "AnswerTimeoutError":
        return DatabaseUnavailableError(f"the database did not answer in time ({name})")
    # Drivers have subclasses of these, such as psycopg's ConnectionTimeout.
    if {"OperationalError", "InterfaceError"} & {kind.__name__ for kind in type(error).__mro__}:
        text = str(error)
        advice = next((advice for pattern, advice in _CONNECT_ERRORS if pattern.search(text)), _UNREACHABLE)
        return DatabaseUnavailableError(f"{advice} ({name})")
    return DatabaseFailedError(f"the database operation failed ({name})")
