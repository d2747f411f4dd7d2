"""Which events of a lease go into one stream: the crowd, those that failed often, halves of what broke."""

from collections.abc import Sequence
from random import Random

from telemetry_store.export_queue import LeasedEvent


class Parts:
    """The groups of a lease's events that are still to be sent.

    Args:
        events: The lease's events, oldest first.
        alone_from: An event that failed so often gets a group of its own, after the crowd.
        random: Decides where a search goes on.
    """

    def __init__(self, events: Sequence[LeasedEvent], *, alone_from: int, random: Random) -> None:
        self._random = random
        self._waiting = [[event] for event in reversed(events) if event.attempts >= alone_from]
        if crowd := [event for event in events if event.attempts < alone_from]:
            self._waiting.append(crowd)

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> list[LeasedEvent]:
        """Returns the group to send next."""
        return self._waiting.pop()

    def split(self, events: Sequence[LeasedEvent]) -> None:
        """Puts events of a group that broke its stream back, as two groups, to be sent next in either order.

        By chance, not oldest first: a run of bad events at one end must not be met first every time.
        """
        middle = len(events) // 2
        halves = [list(events[:middle]), list(events[middle:])]
        self._random.shuffle(halves)
        self._waiting += halves

    def move_on(self) -> None:
        """Lets the search go on elsewhere: bad events often stand together."""
        self._random.shuffle(self._waiting)
