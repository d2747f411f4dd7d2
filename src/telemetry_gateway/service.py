"""The gRPC service `TelemeteryGatewayService`: the protocol of streams, and acknowledgements."""

import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from telemetry import TelemetryError
from telemetry.logger import get_logger
from telemetry.tracing import Span, span
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.errors import InvalidStreamError, OverLimitError
from telemetry_gateway.identity.identification import Identification
from telemetry_gateway.intake import BatchResult, Intake
from telemetry_gateway.metrics import GatewayMetrics
from telemetry_gateway.publishing.messages import MessageMaker
from telemetry_gateway.publishing.patience import Patience
from telemetry_gateway.publishing.publisher import Publisher
from telemetry_gateway.statuses import DETAILS_KEY, retry_info, status_of

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["TelemeteryGatewayService"].full_name

_LOGGED_REQUEST_ID: Final = 64
# More valid events do not fit into a message of 4 MiB. Empty events have only two bytes, and each one costs an object,
# an entry in the response and a line in the file of rejected events.
_MAX_EVENTS: Final = 100_000
_log = get_logger(__name__)

Timer: TypeAlias = Callable[[], float]
"""Returns the time of a monotonic clock in seconds."""


class _Unreadable:
    """A request that is not a valid protobuf message of its type."""


_UNREADABLE: Final = _Unreadable()


@dataclass(slots=True)
class _Call:
    """One stream or call, for its log line."""

    request_id: str = ""
    publisher: Publisher | None = None
    maker: MessageMaker | None = None
    events: int = 0
    succeeded: int = 0
    rejected: int = 0
    failed: int = 0
    bytes: int = 0
    status: str = "CANCELLED"
    failure: TelemetryError | None = None

    def trace(self, kind: str, current: Span) -> None:
        """Set the attributes of a span. Of the publisher, only its kind is included."""
        current.set_attributes(
            {
                "telemetry.rpc": kind,
                "telemetry.publisher": self.publisher.kind if self.publisher else None,
                "telemetry.events": self.events,
                "telemetry.succeeded": self.succeeded,
                "telemetry.rejected": self.rejected,
                "telemetry.failed": self.failed,
                "rpc.grpc.status": self.status,
            }
        )
        if self.status != grpc.StatusCode.OK.name:
            current.fail(self.status)

    def log(self, kind: str, seconds: float) -> None:
        _log.info(
            kind,
            request_id=self.request_id,
            publisher=self.publisher.name if self.publisher else "",
            events=self.events,
            succeeded=self.succeeded,
            rejected=self.rejected,
            failed=self.failed,
            status=self.status,
            duration=round(seconds, 3),
        )


class TelemetryGatewayService:
    """Receives events and acknowledges or rejects them.

    Args:
        intake: Processes batches.
        identification: Identifies and authorizes publishers.
        patience: Waits for the messages of streams.
        max_message_bytes: The largest message body that the sink accepts.
        max_streams: The largest number of concurrent streams and calls.
        metrics: The gateway's metrics.
        timer: Measures the duration of streams.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        identification: Identification,
        patience: Patience,
        max_message_bytes: int,
        max_streams: int,
        metrics: GatewayMetrics,
        timer: Timer = time.perf_counter,
    ) -> None:
        self._intake = intake
        self._identification = identification
        self._patience = patience
        self._max_message_bytes = max_message_bytes
        self._max_streams = max_streams
        self._metrics = metrics
        self._timer = timer
        self._streams = 0

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler for a gRPC server."""
        # The generated registration is not used: it answers a malformed request with the status INTERNAL.
        handlers = {
            "RecordEvents": grpc.stream_stream_rpc_method_handler(
                self._record_events,
                request_deserializer=_reader(pb.RecordEventsRequest),
                response_serializer=pb.RecordEventsResponse.SerializeToString,
            ),
            "RecordEvent": grpc.unary_unary_rpc_method_handler(
                self._record_event,
                request_deserializer=_reader(pb.RecordEventRequest),
                response_serializer=pb.RecordEventResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)

    async def _record_events(self, requests: AsyncIterator[pb.RecordEventsRequest | _Unreadable], context: Any) -> None:
        """Handle a stream: metadata first, then batches, each with a response."""
        with self._serving("stream") as call:
            self._check_streams()
            while (request := await self._patience.next_message(requests)) is not None:
                response = await self._answer(call, request, context)
                if response is not None:
                    await self._patience.delivery(context.write(response))
            if call.maker is None:
                raise InvalidStreamError("metadata", "is missing; it must be the first message")
        if call.failure is not None:
            await _abort(context, call.failure)

    async def _record_event(self, request: pb.RecordEventRequest | _Unreadable, context: Any) -> pb.RecordEventResponse:
        """Handle a call with one event of a managed service."""
        with self._serving("call") as call:
            self._check_streams()
            await self._take_one(call, request, context)
        if call.failure is not None:
            await _abort(context, call.failure)
        return pb.RecordEventResponse()

    async def _answer(
        self, call: _Call, request: pb.RecordEventsRequest | _Unreadable, context: Any
    ) -> pb.RecordEventsResponse | None:
        if isinstance(request, _Unreadable):
            raise InvalidStreamError("message", "is not a valid RecordEventsRequest; an event in it may be malformed")
        payload = request.WhichOneof("payload")
        if payload == "metadata":
            if call.maker is not None:
                raise InvalidStreamError("metadata", "was sent twice")
            await self._identify(call, request.metadata, context)
        elif payload == "events":
            if call.maker is None or call.publisher is None:
                raise InvalidStreamError("events", "were sent before metadata")
            if len(request.events.events) > _MAX_EVENTS:
                raise InvalidStreamError("events", f"has more than {_MAX_EVENTS} entries in one message")
            if request.events.events:
                batch = await self._take(call, call.maker, request.events.events, request.ByteSize())
                return batch.response(call.publisher)
        return None

    async def _take_one(self, call: _Call, request: pb.RecordEventRequest | _Unreadable, context: Any) -> None:
        if isinstance(request, _Unreadable):
            raise InvalidStreamError("message", "is not a valid RecordEventRequest")
        if request.metadata.identifier.WhichOneof("identifier") in ("licensed_instance", "unlicensed_instance"):
            raise InvalidStreamError("metadata.identifier", "RecordEvent accepts managed services only")
        maker = await self._identify(call, request.metadata, context)
        batch = await self._take(call, maker, [request.event], request.ByteSize())
        for _, reason in batch.rejected:
            raise InvalidStreamError("event", reason)

    async def _identify(self, call: _Call, metadata: pb.RecordEventsRequestMetadata, context: Any) -> MessageMaker:
        # SECURITY: the client chooses this text, which is logged, so it is shortened, and unprintable text escaped.
        request_id = metadata.request_id[:_LOGGED_REQUEST_ID]
        call.request_id = request_id if request_id.isprintable() else ascii(request_id)
        publisher = await self._identification.identify(metadata.identifier, context.invocation_metadata() or ())
        call.maker = MessageMaker(metadata, publisher, max_message_bytes=self._max_message_bytes)
        call.publisher = publisher
        return call.maker

    async def _take(self, call: _Call, maker: MessageMaker, events: Sequence[pb.Event], size: int) -> BatchResult:
        call.events += len(events)
        call.bytes += size
        try:
            batch = await self._intake.take(maker, events, size)
        except BaseException:
            call.failed += len(events)
            raise
        call.succeeded += len(batch.succeeded)
        call.rejected += len(batch.rejected)
        return batch

    @contextmanager
    def _serving(self, rpc: str) -> Generator[_Call]:
        """Count, trace and log a stream or call. A TelemetryError in the block is stored as its failure."""
        call = _Call()
        self._streams += 1
        self._metrics.active.inc()
        started = self._timer()
        with span(f"telemetry gateway {rpc}") as current:
            try:
                yield call
                call.status = grpc.StatusCode.OK.name
            except TelemetryError as error:
                call.failure = error
                call.status = status_of(error)[0].name
            finally:
                self._streams -= 1
                self._metrics.active.dec()
                self._count(rpc, call, self._timer() - started)
                call.trace(rpc, current)

    def _check_streams(self) -> None:
        if self._streams > self._max_streams:
            raise OverLimitError(
                f"this gateway serves at most {self._max_streams} streams at a time", retry_after=1, limit="streams"
            )

    def _count(self, rpc: str, call: _Call, seconds: float) -> None:
        metrics = self._metrics
        metrics.streams.labels(rpc, call.status).inc()
        metrics.duration.labels(rpc).observe(seconds)
        metrics.bytes.inc(call.bytes)
        if isinstance(call.failure, OverLimitError):
            metrics.over_limit.labels(call.failure.limit).inc()
        if call.publisher is not None:
            outcomes = {"succeeded": call.succeeded, "rejected": call.rejected, "failed": call.failed}
            for outcome, count in outcomes.items():
                metrics.events.labels(call.publisher.kind, outcome).inc(count)
        call.log(rpc, seconds)


def _reader(kind: type[Message]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return kind.FromString(data)
        except DecodeError:
            return _UNREADABLE

    return read


async def _abort(context: Any, error: TelemetryError) -> NoReturn:
    code, details = status_of(error)
    trailing = ((DETAILS_KEY, retry_info(error, details)),) if isinstance(error, OverLimitError) else ()
    await context.abort(code, details, trailing)
    raise AssertionError("abort raises")  # pragma: no cover - for type checkers
