"""One stream: sends rows, and marks what is acknowledged as the acknowledgements come."""

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
    """What became of the rows of one stream.

    Attributes:
        outgoing: What was sent, and what was not fit to be.
        exported: Acknowledged, and marked in the queue.
        unmarked: Acknowledged, but the queue could not be told.
        rejected: Named by the gateway as never to succeed, each with its reason.
        unexpected: How many answered ids were unknown or answered before.
        failure: Why the stream broke; None when it ended well.
        unreadable: Why rows could not be read from the queue; they were not sent.
    """

    outgoing: Outgoing = field(default_factory=Outgoing)
    exported: set[str] = field(default_factory=set)
    unmarked: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    unexpected: int = 0
    failure: GatewayError | None = None
    unreadable: Exception | None = None

    def is_answered(self, event_id: str) -> bool:
        """Returns whether the gateway has said what became of an event."""
        return event_id in self.exported or event_id in self.rejected or event_id in self.unmarked

    def tell(self, current: Span, request_id: str) -> None:
        """Tells a span what became of the rows. Not the gateway's reasons: they may quote an event."""
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
    """Requests as the transport's thread takes them, until the courier has no more use for them.

    An error ends the sending, not the waiting for answers.
    """

    def __init__(self, requests: Iterator[pb.RecordEventsRequest], stopping: threading.Event) -> None:
        self._requests = requests
        self._stopping = stopping
        # That thread may still ask for a request when the stream has ended already.
        self._lock = threading.Lock()
        self._over = False
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[pb.RecordEventsRequest]:
        while (request := self._next()) is not None:
            yield request
            if self._stopping.is_set():
                return

    def end(self) -> Exception | None:
        """Makes no more requests; returns why the last one could not be made, if so."""
        with self._lock:
            self._over = True
            return self._error

    def _next(self) -> pb.RecordEventsRequest | None:
        with self._lock:
            if self._over:
                return None
            try:
                return next(self._requests, None)
            except Exception as error:  # noqa: BLE001 - the exporter raises it
                self._error = error
                return None


class Courier:
    """Sends rows over one stream at a time.

    Args:
        gateway: Where to.
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
        """Send rows, as `chunks` makes requests of them, and wait for the answers or for the stream to break.

        Args:
            request_id: Names the stream.
            ids: The rows.
            chunks: Makes requests of them.
            mark: Marks acknowledged events as exported; returns whether the queue took it.
            deadline: The longest that the stream takes; the gateway client's own by default.
        """
        with span("telemetry export stream") as current:
            delivery = self._send(request_id, ids, chunks, mark, deadline)
            delivery.tell(current, request_id)
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
        """Sends no more; what was sent may still be answered."""
        self._stopping.set()

    def cancel(self) -> None:
        """Breaks the stream that is open now, and every later one."""
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
        if event_id in delivery.rejected:  # for exporters that know no rejections; ours lets them win
            continue
        if event_id in sent and event_id not in acknowledged and not delivery.is_answered(event_id):
            acknowledged[event_id] = None
        else:
            delivery.unexpected += 1
    if acknowledged:
        marked = mark(list(acknowledged))
        (delivery.exported if marked else delivery.unmarked).update(acknowledged)
