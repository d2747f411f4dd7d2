"""How many connections are served at a time: those past the number are answered 503, and closed."""

import asyncio
from http import HTTPStatus
from typing import Any

from telemetry.web.asgi import App, Receive, Scope, Send


def limited_protocol(protocol: type[asyncio.Protocol], max_connections: int | None) -> type[asyncio.Protocol]:
    """Returns one of uvicorn's protocols with a bound for its connections; those before it are served on.

    uvicorn's own bound also refuses the requests of connections that it took before, and with a text.

    Args:
        protocol: uvicorn's.
        max_connections: How many are served; None: any number.
    """
    if max_connections is None:
        return protocol
    return type("LimitedProtocol", (_Limited, protocol), {"max_connections": max_connections})


class _Limited(asyncio.Protocol):
    """What is laid over uvicorn's protocol."""

    max_connections: int
    # These are uvicorn's.
    app: App
    connections: set[Any]
    logger: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:  # this one is among them
            self.logger.warning("a connection is answered 503: %d are open", self.max_connections)
            self.app = _refuse


async def _refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": HTTPStatus.SERVICE_UNAVAILABLE, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
