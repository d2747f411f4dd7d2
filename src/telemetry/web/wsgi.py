"""WSGI middleware that sets the context of events from requests (Flask, Django's wsgi, ...)."""

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any, TypeAlias

from telemetry.context import set_context_source
from telemetry.web.request_context import Identify, RequestContext, RequestHeaders

__all__ = ["TelemetryContextMiddleware"]

Environ: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class TelemetryContextMiddleware:
    """Adds the request's context to every event that is recorded during a request or its streamed response.

        app.wsgi_app = TelemetryContextMiddleware(app.wsgi_app, identify=lambda environ: {"user_id": g.user_id})

    Args:
        app: The application.
        headers: The headers to read.
        identify: Returns further attributes from the environment; called for each recorded event.
    """

    def __init__(
        self, app: App, *, headers: RequestHeaders | None = None, identify: Identify[Environ] | None = None
    ) -> None:
        self._app = app
        self._context = RequestContext(headers, identify)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Run the application with the request's context."""

        def header(name: str) -> str | None:
            value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
            return value if isinstance(value, str) else None

        # In a separate context: servers send the response after this has returned, and reuse the thread.
        context = copy_context()
        context.run(set_context_source, self._context.of(header, environ))
        return _Answer(context, context.run(self._app, environ, start_response))


class _Answer:
    """An application's response, generated in the request's context."""

    def __init__(self, context: Context, answer: Iterable[bytes]) -> None:
        self._context = context
        self._answer = answer
        self._parts: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            self._parts = self._context.run(iter, self._answer)
        return self._context.run(next, self._parts)

    def close(self) -> None:
        """Close the application's response, when the server does."""
        if (close := getattr(self._answer, "close", None)) is not None:
            self._context.run(close)
