"""A database as this process uses it: transactions whose errors hold no private data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from telemetry_runtime.forks import Forkable
from telemetry_store.dialects import dialect_of
from telemetry_store.engine import check_engine
from telemetry_store.errors import DatabaseBusyError, RecorderError
from telemetry_store.held_connection import HeldConnection
from telemetry_store.schema_version import check_schema_version

T = TypeVar("T")


class Database(Forkable):
    """Runs transactions of the recorder and the queue on an engine.

    Args:
        engine: Made by `create_database_engine`, or the host's own. A host's engine keeps the
            host's settings.

    Raises:
        UnsupportedDatabaseError: It is not a synchronous engine, or its database or driver is not supported.

    Attributes:
        engine: As given.
        dialect: How this kind of database differs from others.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        check_engine(engine)
        self.engine = engine
        self.dialect = dialect_of(engine)
        self.dialect.check_driver(engine.url)
        self.driver_errors: tuple[type[Exception], ...] = (SQLAlchemyError, _driver_error(engine))
        self._reading = self.dialect.reading(engine)
        self._snapshot = self.dialect.snapshot(engine)
        self._version_checked = False
        self._held = HeldConnection(engine, self.dialect)

    @property
    def file(self) -> Path | None:
        """The file of the database; None if the database is on a server or in memory."""
        return self.dialect.file_of(self.engine.url)

    @property
    def missing_file(self) -> Path | None:
        """The database's file if it does not exist yet, so that a connection would create it; otherwise None."""
        file = self.file
        return None if file is None or file.exists() else file

    def run(self, work: Callable[[], T]) -> T:
        """Run `work`, and convert a driver's error to one of ours.

        Raises:
            RecorderError: The database failed; nothing was stored.
        """
        try:
            return work()
        except self.driver_errors as error:
            failure = self._failure(error)
        # Raised outside the handler, so that not even `__context__` refers to the driver's error.
        raise failure

    def _failure(self, error: Exception) -> RecorderError:
        if isinstance(error, PoolTimeoutError):
            return DatabaseBusyError("no database connection became free in time (pool timeout)")
        original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        return self.dialect.failure(original, self.file)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read-only transaction."""
        self._check_version()
        return self.read_unchecked(work)

    def read_unchecked(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read-only transaction, without checking the version of the tables."""

        def reading() -> T:
            with self._reading.begin() as connection:
                return work(connection)

        return self.run(reading)

    def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read-only transaction whose statements all read the same snapshot.

        It does not block writers.
        """

        def reading() -> T:
            with self._snapshot.begin() as connection:
                return work(connection)

        self._check_version()
        return self.run(reading)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a separate transaction, committed when it returns."""

        def writing() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        self._check_version()
        return self.run(writing)

    def write_held(self, work: Callable[[Any], T], *, one_statement: bool = False) -> T:
        """Run `work` with the driver's own connection, which this process holds open for writing events.

        Args:
            work: Runs in a transaction that is committed when it returns.
            one_statement: Whether `work` executes a single statement, which is a transaction by itself.
        """
        run = self._held.statement if one_statement else self._held.transaction
        self._check_version()
        return self.run(lambda: run(work))

    def _check_version(self) -> None:
        if not self._version_checked:
            check_schema_version(self)
            self._version_checked = True

    def close(self) -> None:
        """Close the connections that this process holds open."""
        self._held.close()
        self.engine.dispose()

    def after_fork_in_child(self) -> None:
        """Forget the parent's connections without closing them."""
        self.engine.dispose(close=False)


def _driver_error(engine: Engine) -> type[Exception]:
    error: type[Exception] = engine.dialect.loaded_dbapi.Error
    return error
