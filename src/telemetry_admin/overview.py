"""Gathers what the first page shows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import anyio
import anyio.to_thread

from telemetry.event import Clock
from telemetry_admin.charts import Chart, Series, stacked_bars
from telemetry_admin.time_range import TimeRange
from telemetry_store.database import Database
from telemetry_store.event_log_panels import EventLogPanels, Span, SpanCounts
from telemetry_store.export_queue import ExportQueue, QueueCounts
from telemetry_store.export_runs import ExportRun, ExportRuns

COLOURS: Final = 5
"""How many series have a colour of their own; the others share one, numbered `COLOURS`."""

TOP: Final = 10
RUNS: Final = 10


@dataclass(frozen=True, slots=True)
class TopRow:
    """A line of a table of the most frequent.

    Attributes:
        feature: The feature.
        action: The action; empty in a table of features.
        events: How many events.
        series: How many in each span.
    """

    feature: str
    action: str
    events: int
    series: Sequence[int]


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows.

    Attributes:
        features: What can be chosen as the feature.
        events: Events over time: by feature, or by name where a feature is chosen.
        people: People over time.
        top_features: The features with the most events.
        top_events: The events that happened most.
        counts: The queue.
        runs: The last export passes, the latest first.
    """

    features: Sequence[str]
    events: Chart
    people: Chart
    top_features: Sequence[TopRow]
    top_events: Sequence[TopRow]
    counts: QueueCounts
    runs: Sequence[ExportRun]


def split_name(name: str) -> tuple[str, str]:
    """Returns feature and action of a name, as well as can be told: `event_logs` keeps them as one, dots and all.

    The last dot parts them. An action with dots lends its first words to the feature; filters and counts
    of a feature go by the beginning of names, so they hold all the same.
    """
    feature, dot, action = name.rpartition(".")
    return (feature, action) if dot and feature and action else (name, "")


def features_of(names: Iterable[str]) -> list[str]:
    """Returns the features of names, and those above them that hold more than one, sorted."""
    features = {feature for feature, action in map(split_name, names) if action}
    above = Counter(
        ".".join(words[:end]) for words in (one.split(".") for one in features) for end in range(1, len(words))
    )
    return sorted(features | {feature for feature, below in above.items() if below > 1 and feature})


class OverviewReader:
    """Reads the first page's facts, each panel in a thread and a transaction of its own.

    Args:
        database: Where they are.
        clock: Tells the time that leases run by.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._panels = EventLogPanels(database)
        self._queue = ExportQueue(database, clock=clock)
        self._runs = ExportRuns(database)

    async def read(self, time_range: TimeRange, feature: str, now: datetime) -> Overview:
        """Returns the facts of a range of time.

        Args:
            time_range: Which.
            feature: Only this feature's events, and those of the features below it; empty: all.
            now: Where the range ends.

        Raises:
            RecorderError: The database failed.
        """
        spans = time_range.spans(now, time_range.events_step)
        people_spans = time_range.spans(now, time_range.people_step)
        found: dict[str, Any] = {}

        async def read(name: str, function: Callable[..., object], *arguments: object) -> None:
            found[name] = await anyio.to_thread.run_sync(function, *arguments)

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(read, "names", self._panels.names)
                group.start_soon(read, "events", self._panels.events, spans, feature)
                group.start_soon(read, "people", self._panels.people, people_spans, feature)
                group.start_soon(read, "counts", self._queue.counts)
                group.start_soon(read, "runs", self._runs.latest, RUNS)
        except ExceptionGroup as errors:
            # All of them have the same cause, and a page says one line.
            first = errors.exceptions[0]
        else:
            return _overview(found, spans, people_spans, feature)
        raise first


def _overview(found: Mapping[str, Any], spans: Sequence[Span], people_spans: Sequence[Span], feature: str) -> Overview:
    counts: Sequence[SpanCounts] = found["events"]
    by_name = _series(counts, lambda name: name)
    by_feature = _series(counts, lambda name: split_name(name)[0])
    shown = by_name if feature else by_feature
    return Overview(
        features=features_of(found["names"]),
        events=stacked_bars(spans, _coloured(shown, [one.total for one in counts], feature)),
        people=stacked_bars(people_spans, [Series("people", found["people"], 0)]),
        top_features=[TopRow(name, "", sum(values), values) for name, values in by_feature[:TOP]],
        top_events=[TopRow(*split_name(name), sum(values), values) for name, values in by_name[:TOP]],
        counts=found["counts"],
        runs=found["runs"],
    )


def _series(counts: Sequence[SpanCounts], group_of: Callable[[str], str]) -> list[tuple[str, list[int]]]:
    """Returns the counts of each group over the spans, the largest group first."""
    groups: dict[str, list[int]] = {}
    for place, span in enumerate(counts):
        for name, events in span.by_name.items():
            groups.setdefault(group_of(name), [0] * len(counts))[place] += events
    return sorted(groups.items(), key=lambda group: (-sum(group[1]), group[0]))


def _coloured(groups: Sequence[tuple[str, list[int]]], totals: Sequence[int], feature: str) -> list[Series]:
    """Returns the largest groups as series, and what is left of the totals as one more."""
    # One that would stand alone under "others" gets a name in its place.
    named = groups if len(groups) <= COLOURS + 1 else groups[:COLOURS]
    prefix = f"{feature}." if feature else ""
    series = [Series(name.removeprefix(prefix), values, place) for place, (name, values) in enumerate(named)]
    left = [total - sum(values[place] for _, values in named) for place, total in enumerate(totals)]
    return [*series, Series("others", left, COLOURS)] if any(left) else series
