"""A real gRPC server on loopback that does what a test scripts, and keeps every byte that it was sent."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import (
    TelemeteryGatewayServiceServicer,
    add_TelemeteryGatewayServiceServicer_to_server,
)


class Refuse(Exception):  # noqa: N818 - what a script raises
    """Ends the stream with a status."""

    def __init__(self, code: grpc.StatusCode, details: str = "scripted") -> None:
        super().__init__(details)
        self.code = code
        self.details = details


Script = Callable[["Batch"], pb.RecordEventsResponse | None]


@dataclass
class Batch:
    """What a script is shown: one non-empty request."""

    stream: int
    number: int
    events: Sequence[pb.Event]

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]


def acknowledge(batch: Batch) -> pb.RecordEventsResponse:
    """The script of a gateway that is well."""
    return pb.RecordEventsResponse(succeeded_events=batch.ids)


@dataclass
class ScriptedGateway(TelemeteryGatewayServiceServicer):
    """Serves a script."""

    script: Script = acknowledge
    at_start: Callable[[int, dict[str, str]], None] = lambda stream, metadata: None
    batches: list[Batch] = field(default_factory=list)
    metadata: list[pb.RecordEventsRequestMetadata] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    address: str = ""
    server: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def streams(self) -> int:
        return len(self.metadata)

    @property
    def received(self) -> list[str]:
        return [event_id for batch in self.batches for event_id in batch.ids]

    def RecordEvents(  # noqa: N802 - the contract's name
        self, request_iterator: Iterator[pb.RecordEventsRequest], context: Any
    ) -> Iterator[pb.RecordEventsResponse]:
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
            self._abort(context, refusal)

    def RecordEvent(self, request: pb.RecordEventRequest, context: Any) -> pb.RecordEventResponse:  # noqa: N802
        with self.lock:
            self.headers.append(dict(context.invocation_metadata()))
            self.metadata.append(request.metadata)
            self.raw += request.SerializeToString()
            batch = Batch(self.streams, 1, [request.event])
            self.batches.append(batch)
        try:
            self.at_start(batch.stream, self.headers[-1])
            self.script(batch)
        except Refuse as refusal:
            self._abort(context, refusal)
        return pb.RecordEventResponse()

    @staticmethod
    def _abort(context: Any, refusal: Refuse) -> NoReturn:
        context.abort(refusal.code, refusal.details)
        raise AssertionError


@contextmanager
def scripted_gateway(
    script: Script = acknowledge,
    *,
    credentials: grpc.ServerCredentials | None = None,
    max_message_bytes: int = 4 * 1024 * 1024,
    host: str = "127.0.0.1",
) -> Iterator[ScriptedGateway]:
    """Yields a gateway that listens."""
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
