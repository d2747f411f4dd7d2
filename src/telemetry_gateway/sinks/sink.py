"""The interface of sinks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """An event to publish.

    Attributes:
        publisher: The unique name of the publisher.
        event_id: The id of the event.
        attributes: Strings for routing.
        body: JSON, `{"metadata": ..., "event": ...}`.
    """

    publisher: str
    event_id: str
    attributes: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> tuple[str, str]:
        """The key for deduplication: messages with the same key are duplicates."""
        return (self.publisher, self.event_id)


class Sink(Protocol):
    """Stores the messages of a gateway. Its methods are called from one thread at a time, and may block."""

    max_message_bytes: int
    """The largest message body that the sink accepts; larger events are rejected."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages, and return when all of them are durable.

        Raises:
            SinkError: Some messages may not be durable. Exporters will send all of them again.
        """
        ...

    def published_since(self, position: str, not_before: float) -> Iterable[tuple[str, str]]:
        """Return the keys of messages published after `position`; empty if the sink does not support it.

        A gateway that was killed after publishing messages uses it at the next start, so that it repeats none of them.

        Args:
            position: A previous value of `position`, or an empty string for all messages.
            not_before: Seconds since the epoch. Older messages may be omitted.
        """
        ...

    @property
    def position(self) -> str:
        """The position after the last message, in a format of the sink; empty if the sink does not support it."""
        ...

    def close(self) -> None:
        """Release the resources of the sink."""
        ...
