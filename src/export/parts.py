"""The events of a lease, by stream: most of them together, those that failed often alone, failed streams in halves."""

from collections.abc import Sequence
from random import Random

from telemetry_store.export_queue import LeasedEvent


class Parts:
    """The groups of events of a lease that are still to be sent.

    Args:
        events: The lease's events, oldest first.
        alone_from: An event that failed this many times is in a separate group, after the others.
        random: Decides which group is next in a search.
    """

    def __init__(self, events: Sequence[LeasedEvent], *, alone_from: int, random: Random) -> None:
        self._random = random
        self._waiting = [[event] for event in reversed(events) if event.attempts >= alone_from]
        if together := [event for event in events if event.attempts < alone_from]:
            self._waiting.append(together)

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> list[LeasedEvent]:
        """Return the group to send next."""
        return self._waiting.pop()

    def split(self, events: Sequence[LeasedEvent]) -> None:
        """Put the events of a failed stream back as two groups, to be sent next in random order.

        Not oldest first: a run of bad events at one end must not be sent first every time.
        """
        middle = len(events) // 2
        halves = [list(events[:middle]), list(events[middle:])]
        self._random.shuffle(halves)
        self._waiting += halves

    def move_on(self) -> None:
        """Shuffle the groups, to go on with another part of the lease: bad events are often adjacent."""
        self._random.shuffle(self._waiting)
