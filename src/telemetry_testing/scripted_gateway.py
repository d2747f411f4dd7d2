"""A real gRPC server on loopback that does what a test scripts, and keeps every byte that it was sent."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import grpc

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import (
    TelemeteryGatewayServiceServicer,
    add_TelemeteryGatewayServiceServicer_to_server,
)


class Refuse(Exception):  # noqa: N818 - what a script raises
    """Ends the call with a status.

    Args:
        code: The status.
        details: Its text.
    """

    def __init__(self, code: grpc.StatusCode, details: str = "scripted") -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class EndStream(Exception):  # noqa: N818 - what a script raises
    """Ends the stream with OK, whatever the client has still to send or is owed. A single call is just answered."""


@dataclass
class Batch:
    """What a script is shown: one non-empty request.

    Attributes:
        stream: Which stream it came in, or which single call it is; counted from 1 over both.
        number: Its place in the stream, from 1.
        events: What it holds.
    """

    stream: int
    number: int
    events: Sequence[pb.Event]

    @property
    def ids(self) -> list[str]:
        """The events' ids."""
        return [event.id for event in self.events]


Script: TypeAlias = Callable[[Batch], pb.RecordEventsResponse | None]
"""Decides on a batch: returns the answer, None for none at all, or raises `Refuse` or `EndStream`."""


def acknowledge(batch: Batch) -> pb.RecordEventsResponse:
    """The script of a gateway that is well."""
    return pb.RecordEventsResponse(succeeded_events=batch.ids)


@dataclass
class ScriptedGateway(TelemeteryGatewayServiceServicer):
    """Serves a script. Made by `scripted_gateway`.

    Attributes:
        script: What is done with each batch; may be changed while it serves.
        at_start: Called when a stream or a single call begins, with its number and its headers; may raise `Refuse`.
        batches: What it was sent, in order.
        metadata: The first message of each stream, and of each single call.
        headers: Their headers.
        raw: Every byte of every message, to be searched for what must not be there.
        address: Where it listens, as exporters take it: `http://127.0.0.1:PORT`.
    """

    script: Script = acknowledge
    at_start: Callable[[int, dict[str, str]], None] = lambda _stream, _headers: None
    batches: list[Batch] = field(default_factory=list)
    metadata: list[pb.RecordEventsRequestMetadata] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    address: str = ""
    server: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def streams(self) -> int:
        """How many streams and single calls began."""
        return len(self.metadata)

    @property
    def received(self) -> list[str]:
        """The id of every event that it was sent, in order, as often as it was."""
        return [event_id for batch in self.batches for event_id in batch.ids]

    def close_connections(self) -> None:
        """Breaks every connection and every call on it, at once, and listens no more, like a process that is killed."""
        self.server.stop(0).wait()

    def RecordEvents(  # noqa: N802 - the contract's name
        self, request_iterator: Iterator[pb.RecordEventsRequest], context: Any
    ) -> Iterator[pb.RecordEventsResponse]:
        """Serves a stream."""
        headers = dict(context.invocation_metadata())
        first = next(request_iterator)
        with self.lock:
            self.headers.append(headers)
            self.metadata.append(first.metadata)
            self.raw += first.SerializeToString()
            stream = self.streams
        try:
            self.at_start(stream, headers)
            for number, request in enumerate(request_iterator, start=1):
                batch = Batch(stream, number, list(request.events.events))
                with self.lock:
                    self.raw += request.SerializeToString()
                    self.batches.append(batch)
                if (response := self.script(batch)) is not None:
                    yield response
        except Refuse as refusal:
            _abort(context, refusal)
        except EndStream:
            return

    def RecordEvent(self, request: pb.RecordEventRequest, context: Any) -> pb.RecordEventResponse:  # noqa: N802
        """Serves a single call."""
        headers = dict(context.invocation_metadata())
        with self.lock:
            self.headers.append(headers)
            self.metadata.append(request.metadata)
            self.raw += request.SerializeToString()
            batch = Batch(self.streams, 1, [request.event])
            self.batches.append(batch)
        try:
            self.at_start(batch.stream, headers)
            answer = self.script(batch)
        except Refuse as refusal:
            _abort(context, refusal)
        except EndStream:
            return pb.RecordEventResponse()
        # This call has no lists of ids: what a stream says with them is a status here.
        for rejected in answer.rejected_events if answer else ():
            _abort(context, Refuse(grpc.StatusCode.INVALID_ARGUMENT, rejected.reason))
        if answer is None or not answer.succeeded_events:
            _abort(context, Refuse(grpc.StatusCode.UNAVAILABLE, "not acknowledged"))
        return pb.RecordEventResponse()


def _abort(context: Any, refusal: Refuse) -> NoReturn:
    context.abort(refusal.code, refusal.details)
    raise AssertionError  # `abort` raises


@contextmanager
def scripted_gateway(
    script: Script = acknowledge,
    *,
    credentials: grpc.ServerCredentials | None = None,
    max_message_bytes: int = 4 * 1024 * 1024,
    host: str = "127.0.0.1",
) -> Iterator[ScriptedGateway]:
    """Yields a gateway that listens on a free port of loopback, until the block ends.

    Args:
        script: What it does first.
        credentials: TLS; plain text otherwise.
        max_message_bytes: The largest request that it takes.
        host: The name that its address says.
    """
    gateway = ScriptedGateway(script)
    server = grpc.server(
        futures.ThreadPoolExecutor(8), options=(("grpc.max_receive_message_length", max_message_bytes),)
    )
    add_TelemeteryGatewayServiceServicer_to_server(gateway, server)
    if credentials is None:
        port = server.add_insecure_port(f"{host}:0")
    else:
        port = server.add_secure_port(f"{host}:0", credentials)
    server.start()
    gateway.server = server
    gateway.address = f"{'http' if credentials is None else 'https'}://{host}:{port}"
    try:
        yield gateway
    finally:
        server.stop(0).wait()
