"""What was recorded during a test, and what a test may demand of it."""

import os
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack

from telemetry import Client
from telemetry.names import check_name
from telemetry_testing.recorded_event import RecordedEvent


class Expected(TypedDict, total=False):
    """What a test demands of an event. Of a mapping it demands the keys that it names; others may be there.

    Each is an attribute of `RecordedEvent`.
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
    """The events that were recorded, oldest first. What was rolled back is not among them.

    What a failed assertion says shows events whole, private metadata included: it is read by whoever wrote the test.
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
        """Returns the events of a feature, of an action, or of both.

        Raises:
            InvalidNameError: No event can have this name, so a test that asks for it shows nothing.
        """
        for field, name in (("feature", feature), ("action", action)):
            if name is not None:
                check_name(field, name)
        return [event for event in self if feature in (None, event.feature) and action in (None, event.action)]

    def assert_recorded(self, feature: str, action: str, **expected: Unpack[Expected]) -> RecordedEvent:
        """Demands that an event was recorded at least once, and returns the first that is as expected.

        Args:
            feature: Its feature.
            action: Its action.
            **expected: Attributes of `RecordedEvent`.

        Raises:
            AssertionError: There is none; says which there are, and how those of that name differ.
            InvalidNameError: No event can have this name.
        """
        __tracebackhide__ = True
        of_this_name = self.named(feature, action)
        for event in of_this_name:
            if not _differences(event, expected):
                return event
        raise AssertionError(self._tell(f"{feature}.{action} was not recorded", of_this_name, expected))

    def one(self, feature: str | None = None, action: str | None = None, **expected: Unpack[Expected]) -> RecordedEvent:
        """Demands that just one event was recorded, of this name where one is given, and returns it.

        Raises:
            AssertionError: There is none, there are several, or it is not as expected.
            InvalidNameError: No event can have this name.
        """
        __tracebackhide__ = True
        found = self.named(feature, action)
        if len(found) != 1:
            wanted = f"one event{_of(feature, action)}"
            raise AssertionError(self._tell(f"{wanted} was expected, {len(found)} were recorded"))
        if _differences(found[0], expected):
            raise AssertionError(self._tell(f"the event{_of(feature, action)} is another", found, expected))
        return found[0]

    def none(self, feature: str | None = None, action: str | None = None) -> None:
        """Demands that nothing was recorded, of this name where one is given.

        Raises:
            AssertionError: Something was.
            InvalidNameError: No event can have this name, so there would never be one.
        """
        __tracebackhide__ = True
        if found := self.named(feature, action):
            raise AssertionError(self._tell(f"no event{_of(feature, action)} was expected, {len(found)} were recorded"))

    def clear(self) -> None:
        """Forgets what was recorded so far."""
        with self._lock:
            self._events.clear()

    @contextmanager
    def failing(self, error: Exception) -> Generator[None]:
        """Lets recorders fail inside the block, as with a database that is away.

            with telemetry_events.failing(DatabaseUnavailableError("away")): ...

        Args:
            error: What `Recorder.record` raises; other recorders do with it what they do.
        """
        before, self.failure = self.failure, error
        try:
            yield
        finally:
            self.failure = before

    def add(self, events: Iterable[RecordedEvent]) -> None:
        """Adds events; for what captures them."""
        with self._lock:
            self._events.extend(events)

    def remove(self, events: Iterable[RecordedEvent]) -> None:
        """Removes events that were rolled back; for what captures them."""
        gone = {id(event) for event in events}
        with self._lock:
            self._events = [event for event in self._events if id(event) not in gone]

    def _tell(self, problem: str, near: Iterable[RecordedEvent] = (), expected: Expected | None = None) -> str:
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
    """Returns what of an event is not as expected, in words."""
    found = []
    for name, wanted in expected.items():
        if name not in Expected.__annotations__:
            raise TypeError(f"{name} is no attribute that can be expected of an event")
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
