"""The time ranges that the page can show, divided into spans."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from telemetry_store.event_log_panels import TimeSpan

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time range that ends now.

    Attributes:
        key: Its name in URLs.
        label: Its name on the page.
        length: Its duration.
        events_step: Duration of a bar of events.
        people_step: Duration of a bar of people. A day if possible, so that a person counts once a day.
    """

    key: str
    label: str
    length: timedelta
    events_step: timedelta
    people_step: timedelta

    def spans(self, now: datetime, step: timedelta) -> list[TimeSpan]:
        """Divide the range into spans that begin at full hours or days of UTC; the last contains `now`."""
        seconds = int(step.total_seconds())
        end = (int(now.timestamp()) // seconds + 1) * seconds
        count = int(self.length / step)
        starts = [datetime.fromtimestamp(end - seconds * (count - place), tz=UTC) for place in range(count)]
        return [(start, start + step) for start in starts]


RANGES: Final = (
    TimeRange("24h", "24 hours", timedelta(hours=24), _HOUR, _HOUR),
    TimeRange("7d", "7 days", timedelta(days=7), 6 * _HOUR, _DAY),
    TimeRange("30d", "30 days", timedelta(days=30), _DAY, _DAY),
    TimeRange("90d", "90 days", timedelta(days=90), _DAY, _DAY),
)
DEFAULT_RANGE: Final = RANGES[1]


def range_of(key: str) -> TimeRange:
    """Return the range with this key; the default range if the key is unknown."""
    return next((known for known in RANGES if known.key == key), DEFAULT_RANGE)
