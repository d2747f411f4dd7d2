"""Run a real gateway on loopback, in a thread with its own event loop."""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc

from support.gateway_client import event, send
from telemetry_gateway import Authenticator, GatewayServer, GatewaySettings, LicenseCheck, Sink

T = TypeVar("T")

_PATIENCE = 30


class RunningGateway:
    """A running gateway.

    Attributes:
        address: `host:port`.
        server: The server object.
        sink_file: The file of the sink `jsonl`.
    """

    def __init__(self, address: str, server: GatewayServer, sink_file: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.server = server
        self.sink_file = sink_file
        self._loop = loop

    def published(self) -> list[dict[str, Any]]:
        """Return the lines of the sink's file, each `{"attributes": ..., "message": ...}`."""
        return [json.loads(line) for line in self.sink_file.read_bytes().splitlines()]

    def published_ids(self) -> list[str]:
        """Return the ids of the published events, in order."""
        return [line["message"]["event"]["id"] for line in self.published()]

    def channel(self) -> grpc.Channel:
        """Return a plain-text channel to the gateway."""
        return grpc.insecure_channel(self.address)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the gateway's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)


@contextmanager
def running_gateway(
    directory: Path,
    *,
    sink: Sink | str | None = None,
    authenticator: Authenticator | None = None,
    license_check: LicenseCheck | None = None,
    **settings: Any,
) -> Iterator[RunningGateway]:
    """Run a gateway with its files in `directory` until the block ends.

    Args:
        directory: The directory of the sink's file and the deduplication file. A later gateway can continue with them.
        sink: A kind of sink, as in the settings, or a sink object.
        authenticator: Replaces the authenticator from the settings.
        license_check: The hook for license keys.
        **settings: Fields of `GatewaySettings`.
    """
    defaults: dict[str, Any] = {
        "listen_addr": "127.0.0.1:0",
        "sink_file": directory / "published.jsonl",
        "deduplication_file": directory / "deduplication.db",
        "rejects_file": directory / "rejects.jsonl",
        "drain_timeout": "5s",
    }
    if isinstance(sink, str):
        defaults["sink"], sink = sink, None
    made = GatewaySettings.load(**(defaults | settings))
    server = GatewayServer(made, sink=sink, authenticator=authenticator, license_check=license_check)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="gateway", daemon=True)
    thread.start()
    try:
        address = asyncio.run_coroutine_threadsafe(server.start(), loop).result(_PATIENCE)
        yield RunningGateway(address, server, made.sink_file, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextmanager
def surviving_gateway(directory: Path, **settings: Any) -> Iterator[RunningGateway]:
    """Run a gateway, and check at the end of the block that it still serves clients."""
    with running_gateway(directory, **settings) as running:
        yield running
        with running.channel() as channel:
            last = event()
            assert send(channel, [last]).succeeded == [last.id]
