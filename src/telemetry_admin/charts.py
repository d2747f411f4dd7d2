"""Bar charts as shapes: position (in percent) and label of each bar. Templates draw them as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from telemetry_admin import formats
from telemetry_store.event_log_panels import TimeSpan

HEIGHT: Final = 100
"""Height of every chart, in SVG units."""

_MOST_TICKS: Final = 5
_MOST_LABELS: Final = 7


@dataclass(frozen=True, slots=True)
class Series:
    """A series of values, drawn in one colour.

    Attributes:
        name: Name in the legend.
        values: One value per span.
        colour: Number of the colour.
    """

    name: str
    values: Sequence[int]
    colour: int

    @property
    def total(self) -> int:
        """Sum of the values."""
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar.

    Attributes:
        y: Distance of the upper edge from the top of the chart.
        height: Height.
        colour: Number of the colour.
    """

    y: float
    height: float
    colour: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart.

    Attributes:
        name: Its span, as readable text.
        label: Axis label below the bar; empty for most bars.
        minor: Whether the label can be hidden on narrow screens.
        total: Its value.
        segments: Its segments, from the bottom.
        parts: Name, value and colour of each part except zeros, the largest first.
    """

    name: str
    label: str
    minor: bool
    total: int
    segments: Sequence[Segment]
    parts: Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A horizontal grid line of a chart.

    Attributes:
        label: Value at this line.
        y: Distance from the top of the chart.
    """

    label: str
    y: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart.

    Attributes:
        bars: From left to right.
        ticks: Ticks of the axis, from the top.
        series: Series for the legend and the table.
    """

    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    series: Sequence[Series]

    @property
    def total(self) -> int:
        """Sum of all bars."""
        return sum(bar.total for bar in self.bars)

    @property
    def highest(self) -> Bar | None:
        """The highest bar, or the latest of equally high ones; None if all bars are zero."""
        return max(reversed(self.bars), key=lambda bar: bar.total) if self.total else None


def stacked_bars(spans: Sequence[TimeSpan], series: Sequence[Series]) -> Chart:
    """Return a chart with a bar for each span, with the first series at the bottom."""
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


def _labels(spans: Sequence[TimeSpan]) -> dict[int, tuple[str, bool]]:
    """Return the axis labels by index of the span, each with whether it is minor.

    Labels are hours for a range of up to a day, else the first span of a day gets the date.
    """
    within_a_day = not spans or spans[-1][1] - spans[0][0] <= timedelta(days=1)
    places = [place for place, span in enumerate(spans) if within_a_day or span[0].hour == 0]
    every = max(1, math.ceil(len(places) / _MOST_LABELS))
    # Count from the right, so that the latest time is always labelled.
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
    """Return the distance between ticks: 1, 2, 2.5 or 5 times a power of ten, the smallest that suffices."""
    wanted = max(1.0, highest / _MOST_TICKS)
    power = 10.0 ** math.floor(math.log10(wanted))
    steps = [power * factor for factor in (1, 2, 2.5, 5, 10)]
    # Counts are integers, so ticks are integers, too.
    return next(step for step in steps if step >= wanted and step.is_integer())


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a horizontal bar, in percent of the bar's width.

    Attributes:
        name: Name in the legend.
        value: Value of the part.
        x: Left edge.
        width: Width.
        colour: Name of the colour.
    """

    name: str
    value: int
    x: float
    width: float
    colour: str


def horizontal_bar(parts: Sequence[tuple[str, int, str]]) -> list[Slice]:
    """Return a horizontal bar of names, values and colours, from left to right; widths are 0 if the sum is 0."""
    whole = sum(value for _, value, _ in parts)
    slices = []
    x = 0.0
    for name, value, colour in parts:
        width = 100 * value / whole if whole else 0.0
        slices.append(Slice(name, value, round(x, 3), round(width, 3), colour))
        x += width
    return slices
