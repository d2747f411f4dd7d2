"""The connection that a process holds open for writing events, used without SQLAlchemy."""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine

from telemetry_runtime.forks import Forkable
from telemetry_store.dialects import DatabaseDialect

T = TypeVar("T")

_PARENTS_CONNECTIONS: Final[list[Connection]] = []


class HeldConnection(Forkable):
    """A connection that is opened when it is first needed, and replaced when it is broken.

    `work` gets the driver's own connection: SQLAlchemy would take a third of the time of recording an event.
    Errors are the driver's. A lock serializes threads.

    Args:
        engine: Opens the connection, which is then detached from the engine's pool.
        dialect: The dialect of the database.
    """

    def __init__(self, engine: Engine, dialect: DatabaseDialect) -> None:
        super().__init__()
        self._dialect = dialect
        self._engine = dialect.keeping(engine)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._driver: Any = None

    def statement(self, work: Callable[[Any], T]) -> T:
        """Run `work`, which must execute a single statement, as a transaction."""
        return self._run(lambda driver: self._dialect.run_statement(driver, work))

    def transaction(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, committed when it returns."""
        return self._run(lambda driver: self._dialect.run_transaction(driver, work))

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        with self._lock:
            self._close()

    def before_fork(self) -> None:
        """Wait for the open transaction, at most as long as that may wait for its lock.

        If the database keeps its locks in the process's memory, a child that is forked during a transaction would
        find the file locked forever, by a thread that does not exist in the child.
        """
        if self._dialect.locks_in_process:
            self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Let threads write again."""
        if self._dialect.locks_in_process:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the parent's connection.

        The child must neither use nor close it: closing would write to the parent's socket and drop its file locks.
        A reference keeps it from being garbage-collected.
        """
        if self._connection is not None:
            _PARENTS_CONNECTIONS.append(self._connection)
        self._connection = self._driver = None
        self._lock = threading.Lock()

    def _run(self, work: Callable[[Any], T]) -> T:
        with self._lock:
            driver = self._usable()
            try:
                return work(driver)
            except BaseException as error:
                # Either interrupted in an unknown state, or a rollback failed, and its rows would be committed with the
                # next event.
                if not isinstance(error, Exception) or self._dialect.has_open_transaction(driver):
                    self._close()
                raise

    def _usable(self) -> Any:
        if self._connection is not None and not self._dialect.is_alive(self._driver):
            self._close()
        if self._connection is None:
            connection = self._engine.connect()
            self._driver = connection.connection.driver_connection
            connection.detach()  # leaves the host's pool to the host; `close` then really closes it
            self._connection = connection
            # For hosts that do not call `close`: the server would not notice a connection that is only dropped.
            self._closing = weakref.finalize(self, _close_in_process, connection, self._driver, os.getpid())
        return self._driver

    def _close(self) -> None:
        if self._connection is not None:
            self._connection = self._driver = None
            self._closing()


def _close_in_process(connection: Connection, driver: Any, process: int) -> None:
    if os.getpid() == process:
        with contextlib.suppress(Exception):  # closing a broken connection may fail
            # Not with SQLAlchemy: it rolls back first, and logs a traceback if the connection is broken.
            driver.close()
            connection.invalidate()
