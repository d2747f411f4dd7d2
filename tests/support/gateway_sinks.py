"""Sinks for tests: in memory, with failures and delays on demand."""

import threading
from collections.abc import Iterable, Sequence

from telemetry_gateway import Message, SinkError


class MemorySink:
    """Stores published messages in memory.

    Attributes:
        max_message_bytes: The largest accepted message body.
        published: All messages in order.
        groups: The number of messages in each call of `publish`.
        failure: Raised by `publish` while it is set.
        may_publish: `publish` waits for this event.
        is_publishing: Set when `publish` is entered.
        closed: Whether the sink was closed.
    """

    def __init__(self) -> None:
        self.max_message_bytes = 1024 * 1024
        self.published: list[Message] = []
        self.groups: list[int] = []
        self.failure: Exception | None = None
        self.may_publish = threading.Event()
        self.may_publish.set()
        self.is_publishing = threading.Event()
        self.closed = False

    def publish(self, messages: Sequence[Message]) -> None:
        self.is_publishing.set()
        assert self.may_publish.wait(20)
        if self.failure is not None:
            raise self.failure
        self.groups.append(len(messages))
        self.published.extend(messages)

    def published_since(self, position: str, not_before: float) -> Iterable[tuple[str, str]]:
        return ()

    @property
    def position(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True

    def ids(self) -> list[str]:
        """Return the ids of the published messages."""
        return [message.event_id for message in self.published]


def out_of_order() -> SinkError:
    """Return an error of a sink."""
    return SinkError("out of order")
