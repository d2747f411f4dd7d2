"""Bar charts as shapes: where each bar stands, in hundredths, and what its label says. Templates draw them as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from admin import formats
from recorder.event_log_panels import Span

HEIGHT: Final = 100
"""Of every chart, in its own units."""

_TICKS: Final = 4
_LABELS: Final = 6


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
        total: Its value.
        segments: Its parts, from below.
        parts: Each part's name, value and colour, the largest first, without those that are nothing.
    """

    name: str
    label: str
    total: int
    segments: Sequence[Segment]
    parts: Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of bars.

    Attributes:
        bars: From left to right.
        ticks: What the axis says, from above.
        series: For the legend and the table.
    """

    bars: Sequence[Bar]
    ticks: Sequence[str]
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
    every = math.ceil(len(spans) / _LABELS)
    of_a_day = bool(spans) and (spans[-1][1] - spans[0][0]).days <= 1
    bars = []
    for place, span in enumerate(spans):
        # Counted from the right: the latest time is the one that is looked for.
        labelled = (len(spans) - 1 - place) % every == 0
        bars.append(
            Bar(
                name=formats.span_name(span),
                label=formats.span_label(span, of_a_day=of_a_day) if labelled else "",
                total=totals[place],
                segments=_segments([(one.values[place], one.colour) for one in series], step * _TICKS),
                parts=sorted(
                    ((one.name, one.values[place], one.colour) for one in series if one.values[place]),
                    key=lambda part: -part[1],
                ),
            )
        )
    ticks = [formats.short_number(step * tick) for tick in range(_TICKS, -1, -1)]
    return Chart(bars, ticks, series)


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
    wanted = max(1.0, highest / _TICKS)
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
