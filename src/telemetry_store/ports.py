"""What rooms above the store share: an event to be stored, the place it goes to, and the transaction of a caller."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Union

from sqlalchemy import Connection

from telemetry.v1 import telemetrygateway_pb2 as pb

if TYPE_CHECKING:  # the ORM is the host's to import
    from sqlalchemy.orm import Session, scoped_session

CallersConnection = Union[Connection, "Session", "scoped_session[Session]"]
"""What a caller's transaction is given as."""


class BuiltEvent(NamedTuple):
    """An event that was checked and is whole.

    Attributes:
        event: As it goes over the wire, private metadata included.
        in_event_logs: Whether it gets a row in `event_logs`; False for call sites that write that table themselves.
    """

    event: pb.Event
    in_event_logs: bool = True


class EventStore(Protocol):
    """Where a recorder puts events."""

    def store_events(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Stores all of the events or none, durably, or raises."""
        ...

    def check(self) -> None:
        """Raises what `store_events` would raise now for any event; stores nothing, and takes no longer."""
        ...

    def close(self) -> None:
        """Gives back what the store holds."""
        ...
