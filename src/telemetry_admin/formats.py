"""Formats numbers and times as readable text."""

from datetime import UTC, datetime, timedelta
from typing import Final

from telemetry_store.event_log_panels import TimeSpan

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SHORT: Final = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k"))
_DAY: Final = timedelta(days=1)


def number(value: float) -> str:
    """Format a count: `12,345`."""
    return f"{value:,.0f}"


def short_number(value: float) -> str:
    """Format a count for an axis: `950`, `1.5k`, `20M`."""
    for size, unit in _SHORT:
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def share(part: float, whole: float) -> str:
    """Format a part of a whole in percent: `12%`, `<1%`; `0%` if the whole is 0."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 1:
        return "<1%"
    return f"{percent:.0f}%"


def size(octets: float) -> str:
    """Format a number of bytes: `812 B`, `1.2 MB`."""
    for limit, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if octets >= limit:
            return f"{octets / limit:.3g} {unit}"
    return f"{octets:.0f} B"


def duration(seconds: float) -> str:
    """Format a duration with its two largest units: `3 h 12 min`, `850 ms`."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    left = round(seconds)
    parts = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(moment: datetime, now: datetime) -> str:
    """Format a time relative to now, rounded down to one unit: `21 h ago`, or `in 5 min` for the future."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    rough = next(f"{abs(seconds) // length:.0f} {unit}" for unit, length in _UNITS if abs(seconds) >= length)
    return f"{rough} ago" if seconds > 0 else f"in {rough}"


def moment(value: datetime) -> str:
    """Format a time to the second, in UTC."""
    return f"{value.astimezone(UTC):%d %b %Y, %H:%M:%S} UTC"


def machine_moment(value: datetime) -> str:
    """Format a time in ISO 8601."""
    return value.astimezone(UTC).isoformat(timespec="seconds")


def span_name(span: TimeSpan) -> str:
    """Format a span: `Tue 24 Nov 2026`, or `Tue 24 Nov, 06:00 to 12:00`."""
    since, until = span
    if until - since >= _DAY:
        return f"{since:%a %d %b %Y}"
    return f"{since:%a %d %b, %H:%M} to {until:%H:%M}"
