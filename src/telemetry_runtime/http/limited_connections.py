"""Limit the number of open connections: further ones are answered with status 503 and closed."""

import asyncio
from http import HTTPStatus
from typing import Any

from telemetry.web.asgi import App, Receive, Scope, Send


def limited_protocol(protocol: type[asyncio.Protocol], max_connections: int | None) -> type[asyncio.Protocol]:
    """Return a subclass of a uvicorn protocol that limits the number of connections.

    uvicorn's own limit also rejects requests of connections that it has already accepted, and sends a body.

    Args:
        protocol: A uvicorn protocol.
        max_connections: The largest number of open connections; None for no limit.
    """
    if max_connections is None:
        return protocol
    return type("LimitedProtocol", (_Limited, protocol), {"max_connections": max_connections})


class _Limited(asyncio.Protocol):
    """The methods that override those of uvicorn's protocol."""

    max_connections: int
    # Attributes of uvicorn's protocol.
    app: App
    connections: set[Any]
    logger: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:  # this one is among them
            self.logger.warning("connection rejected with status 503: %d are open", self.max_connections)
            self.app = _reject


async def _reject(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": HTTPStatus.SERVICE_UNAVAILABLE, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
