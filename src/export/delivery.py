"""One stream to the gateway: send rows, and mark them as exported as their acknowledgements arrive."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from export.chunks import ChunkMaker, Outgoing
from export.errors import GatewayError
from export.gateway_client import EventStream, Gateway
from telemetry.tracing import Span, span
from telemetry.v1 import telemetrygateway_pb2 as pb


@dataclass(slots=True)
class Delivery:
    """The outcome of the rows of one stream.

    Attributes:
        outgoing: The rows that were sent, and those that could not be.
        exported: Acknowledged, and marked in the queue.
        unmarked: Acknowledged, but marking them in the queue failed.
        rejected: Permanently rejected by the gateway, each with its reason.
        unexpected: Number of ids in responses that were unknown or had been answered before.
        failure: Why the stream failed; None if it ended normally.
        unreadable: Why reading rows from the queue failed; they were not sent.
    """

    outgoing: Outgoing = field(default_factory=Outgoing)
    exported: set[str] = field(default_factory=set)
    unmarked: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    unexpected: int = 0
    failure: GatewayError | None = None
    unreadable: Exception | None = None

    def is_answered(self, event_id: str) -> bool:
        """Return whether the gateway has acknowledged or rejected an event."""
        return event_id in self.exported or event_id in self.rejected or event_id in self.unmarked

    def set_attributes(self, current: Span, request_id: str) -> None:
        """Set the attributes of a span: numbers only, because the gateway's reasons may quote an event."""
        current.set_attributes(
            {
                "telemetry.request_id": request_id,
                "telemetry.sent": len(self.outgoing.sent),
                "telemetry.acked": len(self.exported),
                "telemetry.rejected": len(self.rejected),
                "telemetry.held": len(self.outgoing.held),
                "telemetry.bytes": self.outgoing.bytes,
            }
        )
        if self.failure is not None:
            current.fail(self.failure.kind.value)


class _Requests:
    """Requests, read by the thread of the transport until `end` is called.

    An error ends the sending, but not the waiting for responses.
    """

    def __init__(self, requests: Iterator[pb.RecordEventsRequest], stopping: threading.Event) -> None:
        self._requests = requests
        self._stopping = stopping
        # The transport may still request one after the stream has ended.
        self._lock = threading.Lock()
        self._ended = False
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[pb.RecordEventsRequest]:
        while (request := self._next()) is not None:
            yield request
            if self._stopping.is_set():
                return

    def end(self) -> Exception | None:
        """Make no more requests; return the error that making the last one raised, if any."""
        with self._lock:
            self._ended = True
            return self._error

    def _next(self) -> pb.RecordEventsRequest | None:
        with self._lock:
            if self._ended:
                return None
            try:
                return next(self._requests, None)
            except Exception as error:  # noqa: BLE001 - the exporter raises it
                self._error = error
                return None


class Courier:
    """A sender of rows, over one stream at a time.

    Args:
        gateway: The gateway to send to.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stopping = threading.Event()
        self._cancelled = threading.Event()
        self._stream: EventStream | None = None

    def send(
        self,
        request_id: str,
        ids: Sequence[str],
        chunks: ChunkMaker,
        *,
        mark: Callable[[Sequence[str]], bool],
        deadline: timedelta | None = None,
    ) -> Delivery:
        """Send rows in the requests that `chunks` makes, until all are answered or the stream fails.

        Args:
            request_id: The id of the stream.
            ids: The rows.
            chunks: Makes requests from rows.
            mark: Marks acknowledged events as exported; returns whether that succeeded.
            deadline: The longest time that the stream may take; default: the gateway client's deadline.
        """
        with span("telemetry export stream") as current:
            delivery = self._send(request_id, ids, chunks, mark, deadline)
            delivery.set_attributes(current, request_id)
        return delivery

    def _send(
        self,
        request_id: str,
        ids: Sequence[str],
        chunks: ChunkMaker,
        mark: Callable[[Sequence[str]], bool],
        deadline: timedelta | None,
    ) -> Delivery:
        delivery = Delivery()
        requests = _Requests(chunks.requests(ids, delivery.outgoing), self._stopping)
        try:
            stream = self._stream = self._gateway.open_stream(request_id, requests, deadline=deadline)
            if self._cancelled.is_set():  # between the two lines above, or while a token was fetched
                stream.cancel()
            for response in stream:
                _take(response, delivery, mark)
        except GatewayError as failure:
            delivery.failure = failure
        finally:
            self._stream = None
            delivery.unreadable = requests.end()
        return delivery

    def finish(self) -> None:
        """Send nothing more; wait for the responses to what was sent."""
        self._stopping.set()

    def cancel(self) -> None:
        """Cancel the open stream, and every later one."""
        self._cancelled.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()


def _take(response: pb.RecordEventsResponse, delivery: Delivery, mark: Callable[[Sequence[str]], bool]) -> None:
    sent = delivery.outgoing.sent
    for rejection in response.rejected_events:
        if rejection.event_id in sent and not delivery.is_answered(rejection.event_id):
            delivery.rejected[rejection.event_id] = rejection.reason
        else:
            delivery.unexpected += 1
    acknowledged: dict[str, None] = {}
    for event_id in response.succeeded_events:
        if event_id in delivery.rejected:  # also acknowledged for older exporters; here, the rejection wins
            continue
        if event_id in sent and event_id not in acknowledged and not delivery.is_answered(event_id):
            acknowledged[event_id] = None
        else:
            delivery.unexpected += 1
    if acknowledged:
        marked = mark(list(acknowledged))
        (delivery.exported if marked else delivery.unmarked).update(acknowledged)
