"""What rooms above the store share: the place that events go to, and the transaction of a caller."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Union

from sqlalchemy import Connection

from telemetry.v1 import telemetrygateway_pb2 as pb

if TYPE_CHECKING:  # the ORM is the host's to import
    from sqlalchemy.orm import Session, scoped_session

CallersConnection = Union[Connection, "Session", "scoped_session[Session]"]
"""What a caller's transaction is given as."""


class EventStore(Protocol):
    """Where a recorder puts events."""

    def store_events(
        self,
        events: Sequence[pb.Event],
        *,
        connection: CallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> None:
        """Stores all of the events or none, durably, or raises."""
        ...

    def close(self) -> None:
        """Gives back what the store holds."""
        ...
