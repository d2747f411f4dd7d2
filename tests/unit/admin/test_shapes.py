"""Time spans, charts and number formats of the page."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_admin import formats
from telemetry_admin.charts import HEIGHT, Series, horizontal_bar, stacked_bars
from telemetry_admin.overview import features_of, split_name
from telemetry_admin.time_range import RANGES, TimeRange, range_of

NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given one


@given(st.sampled_from(RANGES), moments)
def test_spans_are_contiguous_and_the_last_contains_now(time_range: TimeRange, now: datetime) -> None:
    for step in (time_range.events_step, time_range.people_step):
        spans = time_range.spans(now, step)
        assert spans[-1][0] <= now < spans[-1][1]
        assert all(until - since == step for since, until in spans)
        assert all(first[1] == second[0] for first, second in pairwise(spans))
        assert len(spans) * step == time_range.length
        assert all(int(since.timestamp()) % int(step.total_seconds()) == 0 for since, _ in spans)


def test_an_unknown_range_is_the_default() -> None:
    assert [range_of(known.key) for known in RANGES] == list(RANGES)
    assert range_of("1y").key == "7d"


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 50)), min_size=1, max_size=90))
def test_bars_fill_the_chart_without_overflow(values: list[tuple[int, int]]) -> None:
    spans = [(NOW + timedelta(days=day), NOW + timedelta(days=day + 1)) for day in range(len(values))]
    chart = stacked_bars(
        spans, [Series("a", [one for one, _ in values], 0), Series("b", [two for _, two in values], 1)]
    )

    assert chart.total == sum(map(sum, values))
    assert 2 <= len(chart.ticks) <= 6
    assert chart.ticks[0].y == pytest.approx(0)
    assert (chart.ticks[-1].label, chart.ticks[-1].y) == ("0", 100)
    for bar, pair in zip(chart.bars, values, strict=True):
        assert bar.total == sum(pair)
        assert sum(value for _, value, _ in bar.parts) == bar.total
        heights = sum(segment.height for segment in bar.segments)
        assert -0.01 <= min([segment.y for segment in bar.segments], default=0) <= HEIGHT
        assert heights <= HEIGHT + 0.01
        tops = [segment.y for segment in bar.segments]
        assert tops == sorted(tops, reverse=True)
    if chart.highest is not None:
        tallest = max(sum(segment.height for segment in bar.segments) for bar in chart.bars)
        assert sum(segment.height for segment in chart.highest.segments) == pytest.approx(tallest, abs=0.01)
        assert tallest >= HEIGHT / 3 or chart.highest.total == 1


def test_axis_labels_are_limited_and_the_last_is_kept() -> None:
    for time_range in RANGES:
        spans = time_range.spans(NOW, time_range.events_step)
        labelled = [bar for bar in stacked_bars(spans, [Series("a", [1] * len(spans), 0)]).bars if bar.label]
        assert 2 <= len(labelled) <= 7
        assert not labelled[-1].minor
    day = stacked_bars(RANGES[0].spans(NOW, timedelta(hours=1)), [Series("a", [1] * 24, 0)]).bars
    assert (day[-1].label, day[-1].name) == ("12:00", "Sun 01 Mar, 12:00 to 13:00")
    week = stacked_bars(RANGES[1].spans(NOW, timedelta(hours=6)), [Series("a", [1] * 28, 0)]).bars
    assert [bar.label for bar in week if bar.label][-1] == "01 Mar"
    assert [bar.name for bar in week if bar.label][-1] == "Sun 01 Mar, 00:00 to 06:00"


def test_an_empty_chart() -> None:
    assert stacked_bars([], []).highest is None
    assert stacked_bars([(NOW, NOW + timedelta(days=1))], []).bars[0].total == 0


@given(st.lists(st.integers(0, 10**12), max_size=5))
def test_a_horizontal_bar_is_filled_from_left_to_right(values: list[int]) -> None:
    slices = horizontal_bar([("x", value, "c") for value in values])

    assert sum(one.width for one in slices) == pytest.approx(100 if any(values) else 0, abs=0.01)
    assert all(one.x >= 0 for one in slices)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("search.results.submit", ("search.results", "submit")),
        ("auth.login", ("auth", "login")),
        ("no-dot", ("no-dot", "")),
        (".x", (".x", "")),
        ("x.", ("x.", "")),
        ("", ("", "")),
    ],
)
def test_an_event_name_is_split_at_its_last_dot(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


def test_features_are_listed_with_parents_of_several() -> None:
    names = ["search.results.submit", "search.filters.open", "auth.login", "a.b.c.d", "no-dot"]

    assert features_of(names) == ["a.b.c", "auth", "search", "search.filters", "search.results"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (1500, "1.5k"), (20_000_000, "20M"), (2.5e9, "2.5B"), (2.5, "2.5")]
)
def test_numbers_on_an_axis_are_short(value: float, text: str) -> None:
    assert formats.short_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.85, "850 ms"),
        (1, "1 s"),
        (61, "1 min 1 s"),
        (11520, "3 h 12 min"),
        (86_400, "1 d"),
        (86_460, "1 d"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "just now"),
        (59, "59 s ago"),
        (125, "2 min ago"),
        (90_000, "1 d ago"),
        (-300, "in 5 min"),
        (7200, "2 h ago"),
    ],
)
def test_relative_times_have_one_unit(seconds: float, text: str) -> None:
    assert formats.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 0, "0%"), (1, 1000, "<1%"), (0, 5, "0%"), (1, 3, "33%"), (5, 5, "100%")]
)
def test_shares_are_percent(part: float, whole: float, text: str) -> None:
    assert formats.share(part, whole) == text


@pytest.mark.parametrize(
    ("octets", "text"), [(0, "0 B"), (812, "812 B"), (1_200_000, "1.2 MB"), (2e9, "2 GB"), (2048, "2.05 kB")]
)
def test_sizes_have_a_unit(octets: float, text: str) -> None:
    assert formats.size(octets) == text
