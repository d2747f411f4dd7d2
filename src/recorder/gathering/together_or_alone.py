"""Writes for many callers at once without letting one caller's bad event fail the others."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeGuard, TypeVar

from telemetry import TelemetryError

Part = TypeVar("Part")


def write_together_or_alone(
    write: Callable[[Sequence[Part]], None], parts: Sequence[Part]
) -> Iterator[tuple[Sequence[Part], Exception | None]]:
    """Write parts together. If that fails because of an event, write each part alone.

    Yields:
        Parts whose outcome is known, and their error, or None if they are written. Several parts share an error only
        if it affects every event.
    """
    error = _attempt(write, parts)
    if error is None or len(parts) == 1 or affects_every_event(error):
        yield parts, error
        return
    for place, part in enumerate(parts):
        error = _attempt(write, [part])
        if affects_every_event(error):
            yield parts[place:], error
            return
        yield [part], error


def affects_every_event(error: Exception | None) -> TypeGuard[TelemetryError]:
    """Return whether every event would fail the same way now, so that retrying one by one is pointless."""
    return isinstance(error, TelemetryError) and error.affects_every_event


def _attempt(write: Callable[[Sequence[Part]], None], parts: Sequence[Part]) -> Exception | None:
    try:
        write(parts)
    except Exception as error:  # noqa: BLE001 - the caller raises or reports it
        return error
    return None
