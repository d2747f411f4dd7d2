"""What a gateway needs of a sink."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One event, ready to be published.

    Attributes:
        publisher: Who sent it, as duplicates are recognized by.
        event_id: The event's id.
        attributes: For routing; all text.
        body: JSON, `{"metadata": ..., "event": ...}`.
    """

    publisher: str
    event_id: str
    attributes: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> tuple[str, str]:
        """What makes two messages the same."""
        return (self.publisher, self.event_id)


class Sink(Protocol):
    """Where a gateway publishes. Called from one thread at a time, where it may block."""

    max_message_bytes: int
    """The largest body that it takes; a larger event is rejected with its size."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Publishes messages; when it returns, they are durable.

        Raises:
            SinkError: They are not, or perhaps not all; they will come again.
        """
        ...

    def published_since(self, position: str, not_before: float) -> Iterable[tuple[str, str]]:
        """Return the keys of messages published after `position`; nothing where a sink cannot tell.

        With it a gateway that died between publishing and remembering repeats nothing.

        Args:
            position: A former value of `position`; empty for all that there is.
            not_before: Seconds since the epoch; what is older may be left out.
        """
        ...

    @property
    def position(self) -> str:
        """How far the sink has been written, in its own words; empty where it cannot tell."""
        ...

    def close(self) -> None:
        """Gives back what the sink holds."""
        ...
