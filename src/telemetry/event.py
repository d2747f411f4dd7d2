"""Builds the protobuf `Event`: id, clock, source, parameters, context."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, TypeAlias

import uuid6

from telemetry.catalog import Catalog
from telemetry.context import EventContext, current_context, current_trace_id
from telemetry.errors import (
    EventTooLargeError,
    InvalidContextError,
    InvalidIdError,
    InvalidInputError,
    InvalidTimestampError,
)
from telemetry.names import check_name, is_valid_name
from telemetry.parameters import EventParameters, write_parameters
from telemetry.text import check_text
from telemetry.timestamp_range import MAX_SECONDS, MIN_SECONDS
from telemetry.v1 import telemetrygateway_pb2 as pb

Clock: TypeAlias = Callable[[], datetime]
"""Returns the time now, with a time zone."""

IdFactory: TypeAlias = Callable[[], str]
"""Returns a new canonical UUID version 7."""

DEFAULT_MAX_EVENT_BYTES = 64 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, repr=False)
class NewEvent:
    """An event to be recorded, for `batch_record`.

    Attributes:
        feature: What the event is about; a constant in the caller's code.
        action: What happened to it; a constant in the caller's code.
        parameters: What else there is to say.
        id: A canonical UUID version 7 that the caller already has; made otherwise.
        timestamp: When it happened, with a time zone; now otherwise.
        context: Who and what is behind it, in place of the current context.
    """

    feature: LiteralString
    action: LiteralString
    parameters: EventParameters | None = None
    id: str | None = None
    timestamp: datetime | None = None
    context: EventContext | None = None

    def __repr__(self) -> str:
        # SECURITY: tracebacks show it, and what breaks a rule may hold anything.
        if is_valid_name(self.feature) and is_valid_name(self.action):
            return f"NewEvent({self.feature!r}, {self.action!r}, ...)"
        return "NewEvent(...)"

    @classmethod
    def with_run_time_names(
        cls,
        feature: str,
        action: str,
        parameters: EventParameters | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the wire contract's word
        timestamp: datetime | None = None,
        context: EventContext | None = None,
    ) -> "NewEvent":
        """Makes an event whose names come from outside the code (HTTP, a command line).

        The rule for names is still checked when the event is recorded.
        """
        # LiteralString is a promise to type checkers; this constructor is where it is waived.
        names: tuple[Any, Any] = (feature, action)
        return cls(*names, parameters, id, timestamp, context)


def now_utc() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


def new_event_id() -> str:
    """The default id factory: a UUID version 7, RFC 9562."""
    return str(uuid6.uuid7())


class EventBuilder:
    """Checks what a caller gives and turns it into a protobuf `Event`.

    Args:
        service_version: The recording service's own version, for `source.server.version`.
        clock: Tells the time of events that bring none.
        id_factory: Makes the ids of events that bring none.
        max_event_bytes: The largest serialized event, private metadata included.
        catalog: Knows every event there is; others are refused. None: any event may be recorded.

    Raises:
        InvalidInputError: `service_version` is no storable text.
    """

    def __init__(
        self,
        service_version: str,
        *,
        clock: Clock = now_utc,
        id_factory: IdFactory = new_event_id,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        catalog: Catalog | None = None,
    ) -> None:
        self._service_version = check_text("service_version", service_version, InvalidInputError)
        self._clock = clock
        self.new_id = id_factory
        self._max_event_bytes = max_event_bytes
        self._catalog = catalog

    def build(self, new: NewEvent) -> pb.Event:
        """Returns the event, whole and checked.

        Raises:
            InvalidInputError: Something breaks a rule; the leaf class says what.
            EventTooLargeError: The serialized event is over the limit.
            UnknownEventError: The catalogue does not know it.
        """
        if not isinstance(new, NewEvent):
            raise InvalidInputError("event", f"must be a NewEvent, not {type(new).__name__}")
        check_name("feature", new.feature)
        check_name("action", new.action)
        event = pb.Event(
            id=self.new_id() if new.id is None else check_id(new.id), feature=new.feature, action=new.action
        )
        context = current_context() if new.context is None else new.context
        if not isinstance(context, EventContext):
            raise InvalidContextError("context", f"must be an EventContext, not {type(context).__name__}")
        event.MergeFrom(context.template)
        if trace_id := current_trace_id():
            event.interaction.trace_id = trace_id
        event.source.server.version = self._service_version
        _write_timestamp(self._clock() if new.timestamp is None else new.timestamp, event)
        event.parameters.SetInParent()
        if new.parameters is not None:
            write_parameters(new.parameters, event.parameters, max_bytes=self._max_event_bytes)
        if self._catalog is not None:
            self._catalog.check(event)
        size = event.ByteSize()
        if size > self._max_event_bytes:
            raise EventTooLargeError("event", f"is {size} bytes serialized, more than {self._max_event_bytes}")
        return event


def check_id(event_id: object) -> str:
    """Returns `event_id` when it is a UUID version 7 in canonical text.

    Raises:
        InvalidIdError: It is not.
    """
    if not isinstance(event_id, str):
        raise InvalidIdError("id", f"must be text, not {type(event_id).__name__}; for a UUID object pass str(id)")
    if _UUID7.fullmatch(event_id) is None:
        raise InvalidIdError("id", "must be a UUID version 7 (RFC 9562) in canonical lower-case text")
    return event_id


def _write_timestamp(timestamp: datetime, event: pb.Event) -> None:
    if not isinstance(timestamp, datetime):
        raise InvalidTimestampError("timestamp", f"must be a datetime, not {type(timestamp).__name__}")
    since_epoch: timedelta | None = None
    try:
        since_epoch = None if timestamp.utcoffset() is None else timestamp - _EPOCH
    except Exception as error:  # noqa: BLE001 - a time zone is the caller's code
        problem = f"has a time zone that cannot be used ({type(error).__name__})"
    else:
        problem = "must have a time zone, for example datetime.now(UTC)"
    if since_epoch is None:
        raise InvalidTimestampError("timestamp", problem)
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise InvalidTimestampError("timestamp", "must lie in the years 1 to 9999 in UTC, protobuf's range")
    event.timestamp.seconds = seconds
    event.timestamp.nanos = since_epoch.microseconds * 1000
