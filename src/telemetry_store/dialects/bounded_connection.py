"""A connection to PostgreSQL that does not wait for an answer for ever.

TCP notices a server that vanished, not one that is there and says nothing: stopped, hung on its disk, or behind a
proxy that swallows what it is sent. Nor does it notice a table that stays locked.
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
    """The server did not answer in time; whether it did what it was asked to is not known."""


class BoundedConnection(psycopg.Connection[Any]):
    """Waits for an answer as long as `seconds_to_answer`; then the statement is cancelled, or the connection closed.

    Attributes:
        seconds_to_answer: None waits for ever.
    """

    seconds_to_answer: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Runs what speaks to the server: see psycopg.

        Raises:
            AnswerTimeoutError: There was no answer, not even to a request to cancel. The connection is closed.
            psycopg.errors.QueryCanceled: There was none in time, and nothing was done.
        """
        if self.seconds_to_answer is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_bounded(gen, self.seconds_to_answer), *args, **kwargs)
        except AnswerTimeoutError:
            pass
        # The server may be well, and wait for a lock. Cancelled, it has surely done nothing.
        if capabilities.has_cancel_safe():  # an older libpq would wait for this, too
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=_SECONDS_TO_CANCEL)
        try:
            return super().wait(_bounded(gen, _SECONDS_TO_CANCEL), *args, **kwargs)
        except AnswerTimeoutError:
            self.pgconn.finish()  # `close` would not do more, and nobody knows what a late answer would answer
            raise


def connecting(timeout: timedelta) -> Callable[..., BoundedConnection]:
    """Returns a listener for SQLAlchemy's event `do_connect` that makes such connections."""

    def connect(_dialect: object, _record: object, arguments: Any, parameters: Any) -> BoundedConnection:
        connection = BoundedConnection.connect(*arguments, **parameters)
        connection.seconds_to_answer = timeout.total_seconds()
        return connection

    return connect


def _bounded(generator: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """Does what the generator does, as long as it may. It is asked again at least ten times a second."""
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
