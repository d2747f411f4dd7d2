"""The errors of the database.

A driver's message may quote the row that failed. So our errors hold only the class of the driver's error, the SQLSTATE
or SQLite's error name, and our own advice. For the same reason the driver's error is never chained to ours.
"""

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
