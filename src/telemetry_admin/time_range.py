"""The ranges of time that the page can show, cut into spans."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from telemetry_store.event_log_panels import Span

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range that ends now.

    Attributes:
        key: How addresses name it.
        label: How people read it.
        length: How long it is.
        events_step: One bar of events.
        people_step: One bar of people. A day where it can be: who comes twice a day is one person.
    """

    key: str
    label: str
    length: timedelta
    events_step: timedelta
    people_step: timedelta

    def spans(self, now: datetime, step: timedelta) -> list[Span]:
        """Returns the range cut into spans that begin at full hours or days of UTC; the last holds `now`."""
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
    """Returns the range of this name; the default one where there is none."""
    return next((known for known in RANGES if known.key == key), DEFAULT_RANGE)
