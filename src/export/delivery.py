"""One stream: sends rows, and marks what is acknowledged as the acknowledgements come."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from export.chunks import ChunkMaker, Outgoing
from export.errors import GatewayError
from export.gateway_client import EventStream, Gateway
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


class Courier:
    """Sends rows over one stream at a time.

    Args:
        gateway: Where to.
        chunks: Makes the requests.
        mark: Marks acknowledged events as exported; returns whether the queue took it.
    """

    def __init__(self, gateway: Gateway, chunks: ChunkMaker, mark: Callable[[Sequence[str]], bool]) -> None:
        self._gateway = gateway
        self._chunks = chunks
        self._mark = mark
        self._stopping = threading.Event()
        self._stream: EventStream | None = None

    def send(self, request_id: str, ids: Sequence[str]) -> Delivery:
        """Sends rows and waits for the answers, or for the stream to break."""
        delivery = Delivery()

        def requests() -> Iterator[pb.RecordEventsRequest]:
            # Runs in the transport's thread: an error ends the sending, not the waiting for answers.
            try:
                for request in self._chunks.requests(ids, delivery.outgoing):
                    yield request
                    if self._stopping.is_set():
                        return
            except Exception as error:  # noqa: BLE001 - the exporter raises it
                delivery.unreadable = error

        try:
            self._stream = self._gateway.open_stream(request_id, requests())
            for response in self._stream:
                self._take(response, delivery)
        except GatewayError as failure:
            delivery.failure = failure
        finally:
            self._stream = None
        return delivery

    def finish(self) -> None:
        """Sends no more; what was sent may still be answered."""
        self._stopping.set()

    def cancel(self) -> None:
        """Breaks the stream that is open now, if one is."""
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def _take(self, response: pb.RecordEventsResponse, delivery: Delivery) -> None:
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
            marked = self._mark(list(acknowledged))
            (delivery.exported if marked else delivery.unmarked).update(acknowledged)
