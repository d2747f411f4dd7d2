"""Joins the caller's transaction."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Connection

from telemetry_store.dialects import dialect_of
from telemetry_store.errors import InvalidConnectionError
from telemetry_store.ports import CallersConnection


def callers_connection(given: CallersConnection) -> Connection:
    """Return the SQLAlchemy connection of a connection or session, in a transaction.

    Begins the caller's transaction if it has not begun yet, as any other statement would.

    Raises:
        InvalidConnectionError: It is not a connection or session, or is in autocommit mode.
        UnsupportedDatabaseError: The recorder does not support its database or driver.
    """
    session_connection = None if isinstance(given, Connection) else getattr(given, "connection", None)
    connection = session_connection() if callable(session_connection) else given
    if not isinstance(connection, Connection):
        raise InvalidConnectionError(
            "connection", f"must be a SQLAlchemy Connection or Session, not {type(connection).__name__}"
        )
    dialect = dialect_of(connection)
    dialect.check_driver(connection.engine.url)
    if not connection.in_transaction():
        connection.begin()
    if not dialect.joins_transaction(connection):
        raise InvalidConnectionError(
            "connection", "is in autocommit mode, so there is no transaction to join; leave `connection` out"
        )
    return connection


@contextmanager
def savepoint(connection: Connection) -> Generator[None]:
    """Roll back only what the block did when it raises; the caller's transaction continues."""
    with connection.begin_nested():
        yield
