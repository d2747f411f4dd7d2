"""A gRPC server on loopback that runs a test's script, and keeps every byte that it received."""

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
    """Raise in a script to end the call with a status.

    Args:
        code: The status.
        details: The details of the status.
    """

    def __init__(self, code: grpc.StatusCode, details: str = "scripted") -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class EndStream(Exception):  # noqa: N818 - what a script raises
    """Raise in a script to end the stream or unary call with OK, even if the client has not finished."""


@dataclass
class Batch:
    """A non-empty request, the argument of scripts.

    Attributes:
        stream: Number of its stream or unary call, from 1, counted together.
        number: Its number in the stream, from 1.
        events: Its events.
    """

    stream: int
    number: int
    events: Sequence[pb.Event]

    @property
    def ids(self) -> list[str]:
        """The events' ids."""
        return [event.id for event in self.events]


Script: TypeAlias = Callable[[Batch], pb.RecordEventsResponse | None]
"""Handles a batch: returns the response, or None to send none, or raises `Refuse` or `EndStream`."""


def acknowledge(batch: Batch) -> pb.RecordEventsResponse:
    """Acknowledge all events: the script of a healthy gateway."""
    return pb.RecordEventsResponse(succeeded_events=batch.ids)


@dataclass
class ScriptedGateway(TelemeteryGatewayServiceServicer):
    """A gateway that runs a script. Created by `scripted_gateway`.

    Attributes:
        script: Called for each batch; can be replaced at any time.
        at_start: Called when a stream or unary call begins, with its number and headers; may raise `Refuse`.
        batches: The received batches, in order.
        metadata: The metadata of each stream and unary call.
        headers: The headers of each stream and unary call.
        raw: Every byte of every message, to assert that something is not in it.
        address: The address for exporters, `http://127.0.0.1:PORT`.
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
        """The number of streams and unary calls so far."""
        return len(self.metadata)

    @property
    def received(self) -> list[str]:
        """The ids of all received events, in order, including repetitions."""
        return [event_id for batch in self.batches for event_id in batch.ids]

    def close_connections(self) -> None:
        """Break all connections and their calls immediately and stop listening, like a killed process."""
        self.server.stop(0).wait()

    def RecordEvents(  # noqa: N802 - the contract's name
        self, request_iterator: Iterator[pb.RecordEventsRequest], context: Any
    ) -> Iterator[pb.RecordEventsResponse]:
        """Serve a stream."""
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
        """Serve a unary call."""
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
        # The unary response has no lists of ids, so rejections become a status.
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
    """Run a gateway on a free loopback port until the block ends.

    Args:
        script: The initial script.
        credentials: TLS; plain text otherwise.
        max_message_bytes: Maximum size of a request.
        host: Host name in the address.
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
