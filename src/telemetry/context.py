"""The context of events (user, client, interaction): set once per request or job, added to every event."""

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

from telemetry.errors import InvalidContextError
from telemetry.text import check_text
from telemetry.v1 import telemetrygateway_pb2 as pb

MAX_SHORT_TEXT_LENGTH = 512
"""Maximum length of ids and names, in characters: PostgreSQL cannot index much longer text."""

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Client:
    """The user's client program, if it is not the recording service itself.

    Attributes:
        name: For example `vscode`; 1 to 512 characters.
        version: The client's version, if known.
    """

    name: str
    version: str | None = None

    def __post_init__(self) -> None:
        check_text("client.name", self.name, InvalidContextError, min_length=1, max_length=MAX_SHORT_TEXT_LENGTH)
        _short_text("client.version", self.version)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MarketingTracking:
    """Where a user came from. Sensitive: exported only from first-party instances.

    Attributes:
        url: The page where the event happened.
        first_source_url: The first page that led the user here.
        cohort_id: The marketing cohort.
        referrer: The previous page.
        last_source_url: The last page that led the user here.
        device_session_id: The session on this device.
        session_referrer: The referrer at the session's start.
        session_first_url: The session's first page.
    """

    url: str | None = None
    first_source_url: str | None = None
    cohort_id: str | None = None
    referrer: str | None = None
    last_source_url: str | None = None
    device_session_id: str | None = None
    session_referrer: str | None = None
    session_first_url: str | None = None

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is not None:
                check_text(f"marketing_tracking.{entry.name}", value, InvalidContextError)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventContext:
    """The context of an event. All attributes are optional; empty text means unknown.

    Attributes:
        user_id: The user's id on this instance, a 64-bit integer.
        anonymous_user_id: The id of a user who is not signed in.
        sams_external_id: The user's id at an external accounts service.
        feature_flags: The flags evaluated for this user; `bool` becomes `true` or `false`.
        interaction_id: The id shared by the events of one interaction.
        country_code: The two-letter country code, ISO 3166-1.
        client: The user's client program.
        marketing_tracking: Where the user came from; sensitive.

    Raises:
        InvalidContextError: A value is of the wrong kind or cannot be stored.
    """

    user_id: int | None = None
    anonymous_user_id: str | None = None
    sams_external_id: str | None = None
    feature_flags: Mapping[str, str | bool] | None = None
    interaction_id: str | None = None
    country_code: str | None = None
    client: Client | None = None
    marketing_tracking: MarketingTracking | None = field(default=None, repr=False)
    # The part of an Event that comes from this context: built once, merged into each event.
    template: pb.Event = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", self._build_template())

    def _build_template(self) -> pb.Event:
        event = pb.Event()
        self._write_user(event)
        _check_kind("feature_flags", self.feature_flags, Mapping)
        _check_kind("client", self.client, Client)
        _check_kind("marketing_tracking", self.marketing_tracking, MarketingTracking)
        for name, value in (self.feature_flags or {}).items():
            check_text("feature_flags, a name", name, InvalidContextError, min_length=1)
            text = str(value).lower() if isinstance(value, bool) else value
            event.feature_flags.flags[name] = check_text("feature_flags, a value", text, InvalidContextError)
        if interaction_id := _short_text("interaction_id", self.interaction_id):
            event.interaction.interaction_id = interaction_id
        if country_code := _short_text("country_code", self.country_code):
            event.interaction.geolocation.country_code = country_code
        if self.client is not None:
            event.source.client.name = self.client.name
            if self.client.version:
                event.source.client.version = self.client.version
        if self.marketing_tracking is not None:
            for entry in fields(self.marketing_tracking):
                if value := getattr(self.marketing_tracking, entry.name):
                    setattr(event.marketing_tracking, entry.name, value)
        return event

    def _write_user(self, event: pb.Event) -> None:
        if self.user_id is not None:
            if isinstance(self.user_id, bool) or not isinstance(self.user_id, int) or self.user_id not in _INT64:
                raise InvalidContextError("user_id", "must be a 64-bit integer")
            event.user.user_id = self.user_id
        if anonymous_user_id := _short_text("anonymous_user_id", self.anonymous_user_id):
            event.user.anonymous_user_id = anonymous_user_id
        if sams_external_id := _short_text("sams_external_id", self.sams_external_id):
            event.user.sams_external_id = sams_external_id


def _check_kind(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise InvalidContextError(name, f"must be {kind.__name__}, not {type(value).__name__}")


def _short_text(name: str, value: object) -> str | None:
    if value is None:
        return None
    return check_text(name, value, InvalidContextError, max_length=MAX_SHORT_TEXT_LENGTH)


ContextSource: TypeAlias = Callable[[], EventContext]
"""Returns the context of the event that is being recorded; never raises."""

_NOTHING_KNOWN = EventContext()
_CURRENT: ContextVar[EventContext | ContextSource] = ContextVar("telemetry_event_context", default=_NOTHING_KNOWN)


def current_context() -> EventContext:
    """Return the context for events that are recorded now."""
    current = _CURRENT.get()
    return current if isinstance(current, EventContext) else current()


def set_context_source(source: ContextSource) -> None:
    """Set the source of the context for the rest of the running `contextvars.Context`.

    For callers that created that `contextvars.Context` themselves.
    """
    _CURRENT.set(source)


@contextmanager
def context_source(source: ContextSource) -> Generator[None]:
    """Get the context of the events recorded inside the `with` block from `source`, when they are recorded."""
    token = _CURRENT.set(source)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@contextmanager
def event_context(base: EventContext | None = None, /, **changes: Any) -> Generator[EventContext]:
    """Set the context of the events recorded inside the `with` block.

    Follows the rules of `contextvars`: each thread and each asyncio task has its own context, and a
    task inherits its creator's. Blocks can be nested; an inner block changes only the given attributes.

    Args:
        base: A context to use instead of the current one.
        **changes: Attributes of `EventContext` that override those of `base` or of the current context.

    Raises:
        InvalidContextError: A value is of the wrong kind or cannot be stored.
        TypeError: A name in `changes` is not an attribute of `EventContext`.
    """
    context = replace(current_context() if base is None else base, **changes)
    token = _CURRENT.set(context)
    try:
        yield context
    finally:
        _CURRENT.reset(token)


def current_trace_id() -> str | None:
    """Return the id of OpenTelemetry's current trace, 32 hex digits, if a span is recording."""
    # A span can only be recording if the host has imported the API, so it is not imported here.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span()
    return f"{span.get_span_context().trace_id:032x}" if span.is_recording() else None
