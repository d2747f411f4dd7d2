"""ASGI middleware that sets the context of events from requests (FastAPI, Starlette, Django's asgi, ...)."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from telemetry.context import context_source
from telemetry.web.request_context import Identify, RequestContext, RequestHeaders

__all__ = ["TelemetryContextMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class TelemetryContextMiddleware:
    """Adds the request's context to every event that is recorded during a request.

        app = TelemetryContextMiddleware(app, identify=lambda scope: {"user_id": scope.get("state", {}).get("user_id")})

    Its position among other middleware does not matter: `identify` is called when an event is recorded.

    Args:
        app: The application.
        headers: The headers to read.
        identify: Returns further attributes from the scope; called for each recorded event.
    """

    def __init__(
        self, app: App, *, headers: RequestHeaders | None = None, identify: Identify[Scope] | None = None
    ) -> None:
        self._app = app
        self._context = RequestContext(headers, identify)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the request's context."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        with context_source(self._context.of(lambda name: headers.get(name.lower()), scope)):
            await self._app(scope, receive, send)


def _headers(scope: Scope) -> Mapping[str, str]:
    # The first of equal headers wins: proxies append their own after those that they received.
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reversed(scope["headers"])}
