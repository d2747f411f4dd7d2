"""The one connection that a process keeps for writing events, spoken to without SQLAlchemy in between."""

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
    """A connection that is opened when it is first needed, and replaced when it has died.

    `work` gets the driver's own connection: going through SQLAlchemy's would cost a third of the
    time that recording an event takes. Errors are the driver's. Threads take turns.

    Args:
        engine: Where connections come from; this one is taken out of its pool for good.
        dialect: How the database is spoken to.
    """

    def __init__(self, engine: Engine, dialect: DatabaseDialect) -> None:
        super().__init__()
        self._dialect = dialect
        self._engine = dialect.keeping(engine)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._driver: Any = None

    def statement(self, work: Callable[[Any], T]) -> T:
        """Runs `work`, which must execute one statement, as a transaction."""
        return self._run(lambda driver: self._dialect.run_statement(driver, work))

    def transaction(self, work: Callable[[Any], T]) -> T:
        """Runs `work` in a transaction, committed when it returns."""
        return self._run(lambda driver: self._dialect.run_transaction(driver, work))

    def close(self) -> None:
        """Closes the connection; it is opened again when it is needed."""
        with self._lock:
            self._close()

    def before_fork(self) -> None:
        """Waits for the transaction that is open, at most as long as that may wait for its lock.

        Where the database keeps its locks in the process's memory, a child made in the middle of a
        transaction would find the file locked forever, by a thread that it does not have.
        """
        if self._dialect.locks_in_process:
            self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Goes on writing."""
        if self._dialect.locks_in_process:
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forgets the parent's connection.

        It is not ours to use, nor to close: closing would speak on its socket and drop its file
        locks. It is kept, unused, so that nothing collects it.
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
                # Interrupted, who knows where; or a rollback failed, and the rows that it left would be
                # committed with the next event's.
                if not isinstance(error, Exception) or self._dialect.has_open_transaction(driver):
                    self._close()
                raise

    def _usable(self) -> Any:
        if self._connection is not None and not self._dialect.is_alive(self._driver):
            self._close()
        if self._connection is None:
            connection = self._engine.connect()
            self._driver = connection.connection.driver_connection
            connection.detach()  # the host's pool is for the host; closing it closes it
            self._connection = connection
            # For hosts that do not call `close`; a connection that is merely dropped leaves the server guessing.
            self._closing = weakref.finalize(self, _close_in_process, connection, self._driver, os.getpid())
        return self._driver

    def _close(self) -> None:
        if self._connection is not None:
            self._connection = self._driver = None
            self._closing()


def _close_in_process(connection: Connection, driver: Any, process: int) -> None:
    if os.getpid() == process:
        with contextlib.suppress(Exception):  # what is broken cannot always be closed
            # Not by SQLAlchemy: it rolls back first, and where the connection broke it logs a traceback of that.
            driver.close()
            connection.invalidate()
