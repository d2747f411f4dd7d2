"""Diverts the events of all recorders of a process from their stores: for tests of services that record."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from telemetry_store.ports import BuiltEvent, CallersConnection, EventStore


class Diversion(Protocol):
    """Receives events instead of the recorder's own store."""

    def take_events(
        self,
        events: Sequence[BuiltEvent],
        *,
        store: EventStore,
        connection: CallersConnection | None = None,
    ) -> None:
        """Receive complete, checked events, or raise as a store would.

        Args:
            events: What was recorded in one call.
            store: The store that would have received them; may be called to store them as well.
            connection: The caller's transaction, where one was given.
        """
        ...


# Global to the process instead of a context variable, because recorders write in their own threads.
_DIVERSIONS: Final[list[Diversion | None]] = []


@contextmanager
def divert_events(to: Diversion | None) -> Generator[None]:
    """Pass the events of every recorder of this process, in all threads, to `to` while the block runs.

    The events are checked as always; only the destination changes. `BufferedRecorder` passes them on immediately.
    Blocks can be nested: the one entered last is in effect.

    Args:
        to: Receives the events. None restores the recorders' own stores, inside a block that diverts.
    """
    _DIVERSIONS.append(to)
    place = len(_DIVERSIONS)
    try:
        yield
    finally:
        del _DIVERSIONS[place - 1 :]


def current_diversion() -> Diversion | None:
    """Return the diversion in effect; None if the recorders' own stores receive events."""
    return _DIVERSIONS[-1] if _DIVERSIONS else None
