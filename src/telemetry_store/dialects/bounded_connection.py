"""A connection to PostgreSQL that does not wait forever for a reply.

TCP detects a server that is gone. It does not detect one that is reachable but does not reply, because it is stopped,
hangs on its disk, or is behind a proxy that discards packets. Nor does it detect a table that stays locked.
"""

import contextlib
from collections.abc import Callable, Generator
from datetime import timedelta
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from psycopg import capabilities

T = TypeVar("T")

_SECONDS_TO_CANCEL: Final = 2.0


class AnswerTimeoutError(psycopg.OperationalError):
    """The server did not reply in time; it is unknown whether it executed the statement."""


class BoundedConnection(psycopg.Connection[Any]):
    """Waits `seconds_to_answer` for each reply; then it cancels the statement, or closes the connection.

    Attributes:
        seconds_to_answer: How long to wait for a reply; None waits forever.
    """

    seconds_to_answer: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Run a generator of psycopg that communicates with the server.

        Raises:
            AnswerTimeoutError: There was no reply, not even to a cancel request. The connection is closed.
            psycopg.errors.QueryCanceled: There was no reply in time. The statement was cancelled without an effect.
        """
        if self.seconds_to_answer is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_bounded(gen, self.seconds_to_answer), *args, **kwargs)
        except AnswerTimeoutError:
            pass
        # The server may be waiting for a lock. A cancelled statement has certainly had no effect.
        if capabilities.has_cancel_safe():  # an older libpq would block here, too
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=_SECONDS_TO_CANCEL)
        try:
            return super().wait(_bounded(gen, _SECONDS_TO_CANCEL), *args, **kwargs)
        except AnswerTimeoutError:
            # A late reply could be mistaken for that of another statement. `close` would not do more.
            self.pgconn.finish()
            raise


def connecting(timeout: timedelta) -> Callable[..., BoundedConnection]:
    """Return a listener for SQLAlchemy's event `do_connect` that makes such connections."""

    def connect(_dialect: object, _record: object, arguments: Any, parameters: Any) -> BoundedConnection:
        connection = BoundedConnection.connect(*arguments, **parameters)
        connection.seconds_to_answer = timeout.total_seconds()
        return connection

    return connect


def _bounded(generator: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """Run a generator until the time is up. psycopg resumes it at least ten times a second."""
    end = monotonic() + seconds
    try:
        wanted = next(generator)
        while monotonic() < end:
            ready = yield wanted
            wanted = generator.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AnswerTimeoutError(f"no answer within {seconds:g} s")
