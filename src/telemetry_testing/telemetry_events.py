"""The events recorded during a test, and assertions about them."""

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack

from telemetry import Client
from telemetry.names import check_name
from telemetry_testing.recorded_event import RecordedEvent


class Expected(TypedDict, total=False):
    """The expected attributes of an event. A mapping may contain further keys besides the expected ones.

    Each key is an attribute of `RecordedEvent`.
    """

    version: int
    metadata: Mapping[str, float]
    private_metadata: Mapping[str, Any] | None
    billing: tuple[str, str] | None
    user_id: int | None
    anonymous_user_id: str | None
    feature_flags: Mapping[str, str]
    interaction_id: str | None
    country_code: str | None
    client: Client | None
    leaves: bool


class TelemetryEvents:
    """The recorded events, oldest first, without those that were rolled back.

    The message of a failed assertion shows complete events, including private metadata: use it for test data only.
    """

    def __init__(self) -> None:
        self._events: list[RecordedEvent] = []
        self._lock = threading.Lock()
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[RecordedEvent]:
        with self._lock:
            return iter(list(self._events))

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return f"<TelemetryEvents: {', '.join(event.name for event in self) or 'none'}>"

    def named(self, feature: str | None = None, action: str | None = None) -> list[RecordedEvent]:
        """Return the events with this feature, action, or both.

        Raises:
            InvalidNameError: The name is invalid, so no event can have it.
        """
        for field, name in (("feature", feature), ("action", action)):
            if name is not None:
                check_name(field, name)
        return [event for event in self if feature in (None, event.feature) and action in (None, event.action)]

    def assert_recorded(self, feature: str, action: str, **expected: Unpack[Expected]) -> RecordedEvent:
        """Assert that an event was recorded at least once, and return the first one that matches.

        Args:
            feature: Its feature.
            action: Its action.
            **expected: Attributes of `RecordedEvent`.

        Raises:
            AssertionError: No event matches; the message lists the recorded events and the differences.
            InvalidNameError: The name is invalid, so no event can have it.
        """
        __tracebackhide__ = True
        of_this_name = self.named(feature, action)
        for event in of_this_name:
            if not _differences(event, expected):
                return event
        raise AssertionError(self._message(f"{feature}.{action} was not recorded", of_this_name, expected))

    def one(self, feature: str | None = None, action: str | None = None, **expected: Unpack[Expected]) -> RecordedEvent:
        """Assert that exactly one event was recorded, with this name if given, and return it.

        Raises:
            AssertionError: There is not exactly one event, or it does not match.
            InvalidNameError: The name is invalid, so no event can have it.
        """
        __tracebackhide__ = True
        found = self.named(feature, action)
        if len(found) != 1:
            wanted = f"exactly one event{_of(feature, action)}"
            raise AssertionError(self._message(f"expected {wanted}, got {len(found)}"))
        if _differences(found[0], expected):
            raise AssertionError(self._message(f"the event{_of(feature, action)} differs", found, expected))
        return found[0]

    def none(self, feature: str | None = None, action: str | None = None) -> None:
        """Assert that no event was recorded, or none with this name if given.

        Raises:
            AssertionError: An event was recorded.
            InvalidNameError: The name is invalid, so the assertion would always hold.
        """
        __tracebackhide__ = True
        if found := self.named(feature, action):
            raise AssertionError(self._message(f"expected no event{_of(feature, action)}, got {len(found)}"))

    def clear(self) -> None:
        """Remove all events recorded so far."""
        with self._lock:
            self._events.clear()

    @contextmanager
    def failing(self, error: Exception) -> Generator[None]:
        """Make recorders fail inside the block, as if the database were unavailable.

            with telemetry_events.failing(DatabaseUnavailableError("away")): ...

        Args:
            error: The error that `Recorder.record` raises; other recorders handle it as usual.
        """
        before, self.failure = self.failure, error
        try:
            yield
        finally:
            self.failure = before

    def add(self, events: Iterable[RecordedEvent]) -> None:
        """Add events; called by the capture."""
        with self._lock:
            self._events.extend(events)

    def remove(self, events: Iterable[RecordedEvent]) -> None:
        """Remove events that were rolled back; called by the capture."""
        gone = {id(event) for event in events}
        with self._lock:
            self._events = [event for event in self._events if id(event) not in gone]

    def _message(self, problem: str, near: Iterable[RecordedEvent] = (), expected: Expected | None = None) -> str:
        lines = [problem]
        for event in near:
            lines += [f"  {event.name}: {difference}" for difference in _differences(event, expected or {})]
        recorded = [f"  {event!r}" for event in self]
        lines += ["recorded, oldest first:", *recorded] if recorded else ["nothing was recorded"]
        if not recorded and os.environ.get("TELEMETRY_MODE", "").strip().lower() == "off":
            lines.append("TELEMETRY_MODE is off in this environment")
        return "\n".join(lines)


def _of(feature: str | None, action: str | None) -> str:
    name = ".".join(part for part in (feature, action) if part)
    return f" {name}" if name else ""


def _differences(event: RecordedEvent, expected: Expected) -> list[str]:
    """Return the differences between an event and the expected attributes, as text."""
    found = []
    for name, wanted in expected.items():
        if name not in Expected.__annotations__:
            raise TypeError(f"{name} is not a known attribute of events")
        actual = getattr(event, name)
        if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
            for key, value in wanted.items():
                if key not in actual:
                    found.append(f"{name} has no {key!r}")
                elif actual[key] != value:
                    found.append(f"{name}[{key!r}] is {actual[key]!r}, not {value!r}")
        elif actual != wanted:
            found.append(f"{name} is {actual!r}, not {wanted!r}")
    return found
