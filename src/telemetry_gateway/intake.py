"""Process the batches of a publisher: create messages, publish them, and report the result of each event."""

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
    """The result of a batch.

    Attributes:
        succeeded: The ids of the events that the sink stores durably, without duplicates.
        rejected: The id of each event that can never succeed, with the reason.
    """

    succeeded: Sequence[str]
    rejected: Sequence[tuple[str, str]]

    def response(self, publisher: Publisher) -> pb.RecordEventsResponse:
        """Return the response to the publisher."""
        response = pb.RecordEventsResponse(succeeded_events=self.succeeded)
        for event_id, reason in self.rejected:
            response.rejected_events.add(event_id=event_id, reason=reason)
            if event_id and not publisher.is_managed:
                # Exporters of instances may not support rejections, and would send the event again forever.
                response.succeeded_events.append(event_id)
        return response


def _now() -> datetime:
    return datetime.now(UTC)


class Intake:
    """Processes the batches of all streams.

    Args:
        queue: Publishes messages.
        limits: The rate limits of publishers.
        rejects: Stores events that can never succeed.
        now: Returns the current time.
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
        """Publish a batch, and return when the acknowledged events are durable.

        Args:
            maker: Creates the messages of this stream.
            events: The events of the batch.
            size: The size of the serialized batch in bytes.

        Raises:
            OverLimitError: The publisher exceeds its rate limit.
            GatewayServiceError: No event of the batch may be acknowledged.
        """
        self._limits.take(maker.publisher.name, len(events), size)
        # In a thread, so that a large batch blocks neither other streams nor the health check.
        messages, rejected = await asyncio.to_thread(_make, maker, events)
        if rejected:
            # Before publishing: when the rest is acknowledged, the publisher deletes the rejected events, too.
            await asyncio.to_thread(self._keep, maker, rejected)
        if messages:
            await self._queue.publish(messages)
        succeeded = {message.event_id: None for message in messages}
        # If an id is sent twice and one of the events is valid, the id has succeeded.
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
