"""Takes the events of all of a process's recorders away from their stores: for tests of services that record."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from telemetry_store.ports import BuiltEvent, CallersConnection, EventStore


class Diversion(Protocol):
    """Where events go instead of to the store of the recorder that they were recorded with."""

    def take_events(
        self,
        events: Sequence[BuiltEvent],
        *,
        store: EventStore,
        connection: CallersConnection | None = None,
    ) -> None:
        """Takes events that were checked and are whole, or raises, as a store would.

        Args:
            events: What was recorded in one call.
            store: Where they would have gone; may be handed them, to store them all the same.
            connection: The caller's transaction, where one was given.
        """
        ...


# The process's, not a context variable's: recorders write in threads of their own.
_DIVERSIONS: Final[list[Diversion | None]] = []


@contextmanager
def divert_events(to: Diversion | None) -> Generator[None]:
    """Hands the events of every recorder of this process to `to` while the block runs, in all threads.

    The events are checked as ever; only where they go is another place. `BufferedRecorder` hands them over at once.
    Blocks nest: the one begun last decides.

    Args:
        to: Who takes them; None: the recorders' own stores, inside a block that diverts.
    """
    _DIVERSIONS.append(to)
    place = len(_DIVERSIONS)
    try:
        yield
    finally:
        del _DIVERSIONS[place - 1 :]


def current_diversion() -> Diversion | None:
    """Returns who takes events now; None: the recorders' own stores."""
    return _DIVERSIONS[-1] if _DIVERSIONS else None
