"""Joining the transaction that a caller has begun."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from telemetry_store.database import check_driver
from telemetry_store.errors import InvalidConnectionError
from telemetry_store.ports import CallersConnection


def callers_connection(given: CallersConnection) -> Connection:
    """Returns the SQLAlchemy connection behind what the caller gave, in a transaction.

    Begins the caller's transaction where nothing has begun it yet, as any other statement would.

    Raises:
        InvalidConnectionError: It is no connection or session, or is in autocommit mode.
        UnsupportedDatabaseError: It leads to a database or a driver that the recorder cannot write to.
    """
    session_connection = None if isinstance(given, Connection) else getattr(given, "connection", None)
    connection = session_connection() if callable(session_connection) else given
    if not isinstance(connection, Connection):
        raise InvalidConnectionError(
            "connection", f"must be a SQLAlchemy Connection or Session, not {type(connection).__name__}"
        )
    check_driver(connection.engine.url)
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        autocommit = driver.autocommit
    else:
        if not driver.in_transaction and driver.isolation_level is not None:
            # The sqlite3 module begins a transaction before an INSERT, but not before a SAVEPOINT,
            # and releasing a savepoint outside a transaction would commit.
            connection.exec_driver_sql("BEGIN")
        autocommit = not driver.in_transaction
    if autocommit:
        raise InvalidConnectionError(
            "connection", "is in autocommit mode, so there is no transaction to join; leave `connection` out"
        )
    return connection


@contextmanager
def savepoint(connection: Connection) -> Generator[None]:
    """Undoes what the block did, and only that, when it raises; the caller's transaction goes on."""
    with connection.begin_nested():
        yield
