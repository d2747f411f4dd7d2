"""Takes a batch of one publisher: makes messages, publishes them, and says what became of each event."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.limits import PublisherLimits
from telemetry_gateway.publishing.messages import MessageMaker
from telemetry_gateway.publishing.publisher import Publisher
from telemetry_gateway.publishing.publishing_queue import PublishingQueue
from telemetry_gateway.publishing.rejects import Reject, RejectsFile
from telemetry_gateway.sinks.sink import Message


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch.

    Attributes:
        succeeded: Ids that the sink holds durably, each once.
        rejected: Id and reason of each event that can never succeed.
    """

    succeeded: Sequence[str]
    rejected: Sequence[tuple[str, str]]

    def response(self, publisher: Publisher) -> pb.RecordEventsResponse:
        """Return the answer to the publisher."""
        response = pb.RecordEventsResponse(succeeded_events=self.succeeded)
        for event_id, reason in self.rejected:
            response.rejected_events.add(event_id=event_id, reason=reason)
            if event_id and not publisher.is_managed:
                # Exporters of instances that know no rejections would send it for ever.
                response.succeeded_events.append(event_id)
        return response


def _now() -> datetime:
    return datetime.now(UTC)


class Intake:
    """Where batches of all streams go.

    Args:
        queue: Publishes messages.
        limits: How much a publisher may send.
        rejects: Keeps events that can never succeed.
        now: Tells the time of a rejection.
    """

    def __init__(
        self,
        queue: PublishingQueue,
        *,
        limits: PublisherLimits,
        rejects: RejectsFile,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._queue = queue
        self._limits = limits
        self._rejects = rejects
        self._now = now

    async def take(self, maker: MessageMaker, events: Sequence[pb.Event], size: int) -> BatchResult:
        """Publishes a batch; returns when what it acknowledges is durable.

        Args:
            maker: Makes messages of this stream.
            events: The batch.
            size: Its bytes, serialized.

        Raises:
            OverLimitError: The publisher sends too much.
            GatewayServiceError: Nothing of it may be acknowledged.
        """
        self._limits.take(maker.publisher.name, len(events), size)
        # In a thread: a large batch must not keep other streams, or the health check, waiting.
        messages, rejected = await asyncio.to_thread(_make, maker, events)
        if rejected:
            # First: with the acknowledgement of the rest, the sender forgets these too.
            await asyncio.to_thread(self._keep, maker, rejected)
        if messages:
            await self._queue.publish(messages)
        succeeded = {message.event_id: None for message in messages}
        # An id that was sent twice, once well, has succeeded.
        return BatchResult(tuple(succeeded), [(event.id, why) for event, why in rejected if event.id not in succeeded])

    def _keep(self, maker: MessageMaker, rejected: Sequence[tuple[pb.Event, str]]) -> None:
        at = self._now()
        self._rejects.add(Reject(at, why, maker.publisher.name, maker.metadata, event) for event, why in rejected)


def _make(maker: MessageMaker, events: Sequence[pb.Event]) -> tuple[list[Message], list[tuple[pb.Event, str]]]:
    messages: list[Message] = []
    rejected: list[tuple[pb.Event, str]] = []
    for event in events:
        made = maker.make(event)
        if isinstance(made, Message):
            messages.append(made)
        else:
            rejected.append((event, made))
    return messages, rejected
