"""Bar charts as shapes: where each bar stands, in hundredths, and what its label says. Templates draw them as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from telemetry_admin import formats
from telemetry_store.event_log_panels import Span

HEIGHT: Final = 100
"""Of every chart, in its own units."""

_MOST_TICKS: Final = 5
_MOST_LABELS: Final = 7


@dataclass(frozen=True, slots=True)
class Series:
    """What one colour stands for.

    Attributes:
        name: For the legend.
        values: One for each span.
        colour: The number of the colour.
    """

    name: str
    values: Sequence[int]
    colour: int

    @property
    def total(self) -> int:
        """All values together."""
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar.

    Attributes:
        y: Its upper edge, from above.
        height: Its height.
        colour: The number of its colour.
    """

    y: float
    height: float
    colour: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart.

    Attributes:
        name: Its span, for people.
        label: What the axis says below it; empty for most.
        minor: Whether the label can be left out where there is little room.
        total: Its value.
        segments: Its parts, from below.
        parts: Each part's name, value and colour, the largest first, without those that are nothing.
    """

    name: str
    label: str
    minor: bool
    total: int
    segments: Sequence[Segment]
    parts: Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across a chart.

    Attributes:
        label: What it stands for.
        y: Where it is, from above.
    """

    label: str
    y: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of bars.

    Attributes:
        bars: From left to right.
        ticks: The axis, from above.
        series: For the legend and the table.
    """

    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    series: Sequence[Series]

    @property
    def total(self) -> int:
        """All bars together."""
        return sum(bar.total for bar in self.bars)

    @property
    def highest(self) -> Bar | None:
        """The highest bar, the latest of equal ones; None where there is nothing."""
        return max(reversed(self.bars), key=lambda bar: bar.total) if self.total else None


def stacked_bars(spans: Sequence[Span], series: Sequence[Series]) -> Chart:
    """Returns a chart with a bar for each span, the first series at its bottom."""
    totals = [sum(one.values[place] for one in series) for place in range(len(spans))]
    step = _step(max(totals, default=0))
    ticks = max(1, math.ceil(max(totals, default=0) / step))
    labels = _labels(spans)
    bars = [
        Bar(
            name=formats.span_name(span),
            label=labels.get(place, ("", False))[0],
            minor=labels.get(place, ("", False))[1],
            total=totals[place],
            segments=_segments([(one.values[place], one.colour) for one in series], step * ticks),
            parts=sorted(
                ((one.name, one.values[place], one.colour) for one in series if one.values[place]),
                key=lambda part: -part[1],
            ),
        )
        for place, span in enumerate(spans)
    ]
    axis = [Tick(formats.short_number(step * tick), 100 - 100 * tick / ticks) for tick in range(ticks, -1, -1)]
    return Chart(bars, axis, series)


def _labels(spans: Sequence[Span]) -> dict[int, tuple[str, bool]]:
    """Returns what the axis says below some of the spans, and whether it is minor.

    The hour within a day, else the day where one begins.
    """
    within_a_day = not spans or spans[-1][1] - spans[0][0] <= timedelta(days=1)
    places = [place for place, span in enumerate(spans) if within_a_day or span[0].hour == 0]
    every = max(1, math.ceil(len(places) / _MOST_LABELS))
    # Counted from the right: the latest time is the one that is looked for.
    labelled = places[::-1][::every]
    form = "%H:%M" if within_a_day else "%d %b"
    return {place: (spans[place][0].strftime(form), bool(number % 2)) for number, place in enumerate(labelled)}


def _segments(values: Sequence[tuple[int, int]], highest: float) -> list[Segment]:
    segments: list[Segment] = []
    y = float(HEIGHT)
    for value, colour in values:
        if value:
            height = round(HEIGHT * value / highest, 3)
            y -= height
            segments.append(Segment(round(y, 3), height, colour))
    return segments


def _step(highest: int) -> float:
    """Returns the distance of two ticks: the smallest of 1, 2, 2.5 and 5, times a power of ten, that is enough."""
    wanted = max(1.0, highest / _MOST_TICKS)
    power = 10.0 ** math.floor(math.log10(wanted))
    steps = [power * factor for factor in (1, 2, 2.5, 5, 10)]
    # Counts are whole, and so are their ticks.
    return next(step for step in steps if step >= wanted and step.is_integer())


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a bar that lies, in hundredths of its width.

    Attributes:
        name: For the legend.
        value: What it stands for.
        x: Its left edge.
        width: Its width.
        colour: The name of its colour.
    """

    name: str
    value: int
    x: float
    width: float
    colour: str


def lying_bar(parts: Sequence[tuple[str, int, str]]) -> list[Slice]:
    """Returns a bar of names, values and colours, from the left; of nothing it is empty."""
    whole = sum(value for _, value, _ in parts)
    slices = []
    x = 0.0
    for name, value, colour in parts:
        width = 100 * value / whole if whole else 0.0
        slices.append(Slice(name, value, round(x, 3), round(width, 3), colour))
        x += width
    return slices
