"""Types shared by packages that store events: the event to be stored, the store, and the caller's transaction."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Union

from sqlalchemy import Connection

from telemetry.v1 import telemetrygateway_pb2 as pb

if TYPE_CHECKING:  # only hosts that use the ORM import it
    from sqlalchemy.orm import Session, scoped_session

CallersConnection = Union[Connection, "Session", "scoped_session[Session]"]
"""A connection or session that is in the caller's transaction."""


class BuiltEvent(NamedTuple):
    """A complete event that was checked.

    Attributes:
        event: The event as a wire message, private metadata included.
        in_event_logs: Whether it gets a row in `event_logs`; False for call sites that write to that table themselves.
    """

    event: pb.Event
    in_event_logs: bool = True


class EventStore(Protocol):
    """Stores the events of a recorder."""

    def store_events(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Store all of the events or none, durably, or raise."""
        ...

    def check(self) -> None:
        """Raise what `store_events` would raise now for any event, without storing one and without waiting longer."""
        ...

    def close(self) -> None:
        """Release the resources of the store."""
        ...
