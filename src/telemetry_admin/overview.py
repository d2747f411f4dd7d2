"""Reads the data of the overview page."""

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
from telemetry_store.event_log_panels import EventLogPanels, SpanCounts, TimeSpan
from telemetry_store.export_queue import ExportQueue, QueueCounts
from telemetry_store.export_runs import ExportRuns
from telemetry_store.pass_report import PassReport

COLOURS: Final = 5
"""Number of series with their own colour; all others share the colour with number `COLOURS`."""

TOP: Final = 10
RUNS: Final = 10


@dataclass(frozen=True, slots=True)
class TopRow:
    """A row of a table of the most frequent features or events.

    Attributes:
        feature: The feature.
        action: The action; empty in a table of features.
        events: Number of events.
        series: Number of events in each span.
    """

    feature: str
    action: str
    events: int
    series: Sequence[int]


@dataclass(frozen=True, slots=True)
class Overview:
    """The data of the overview page.

    Attributes:
        features: Features to choose from.
        events: Events over time: by feature, or by name if a feature is chosen.
        people: Active people over time.
        top_features: The features with the most events.
        top_events: The most frequent events.
        counts: Counts of the export queue.
        runs: The latest export passes, newest first.
    """

    features: Sequence[str]
    events: Chart
    people: Chart
    top_features: Sequence[TopRow]
    top_events: Sequence[TopRow]
    counts: QueueCounts
    runs: Sequence[PassReport]


def split_name(name: str) -> tuple[str, str]:
    """Split an event name into feature and action. This is a guess: `event_logs` stores both joined by a dot.

    The last dot separates them, so the first words of an action with dots are shown as part of the feature.
    Filters and counts of a feature match prefixes of names, so they are still right.
    """
    feature, dot, action = name.rpartition(".")
    return (feature, action) if dot and feature and action else (name, "")


def features_of(names: Iterable[str]) -> list[str]:
    """Return the features of event names, and each parent that contains more than one of them, sorted."""
    features = {feature for feature, action in map(split_name, names) if action}
    above = Counter(
        ".".join(words[:end]) for words in (one.split(".") for one in features) for end in range(1, len(words))
    )
    return sorted(features | {feature for feature, below in above.items() if below > 1 and feature})


class OverviewReader:
    """Reads the data of the overview page, each panel in its own thread and transaction.

    Args:
        database: The database to read.
        clock: Returns the current time, for leases.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._panels = EventLogPanels(database)
        self._queue = ExportQueue(database, clock=clock)
        self._runs = ExportRuns(database)

    async def read(self, time_range: TimeRange, feature: str, now: datetime) -> Overview:
        """Return the overview of a time range.

        Args:
            time_range: The time range.
            feature: Count only events of this feature and the features below it; empty for all events.
            now: End of the range.

        Raises:
            RecorderError: A database error.
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
            # All errors have the same cause, and the page shows one line.
            first = errors.exceptions[0]
        else:
            return _overview(found, spans, people_spans, feature)
        raise first


def _overview(
    found: Mapping[str, Any], spans: Sequence[TimeSpan], people_spans: Sequence[TimeSpan], feature: str
) -> Overview:
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
    """Return the counts of each group over the spans, largest group first."""
    groups: dict[str, list[int]] = {}
    for place, span in enumerate(counts):
        for name, events in span.by_name.items():
            groups.setdefault(group_of(name), [0] * len(counts))[place] += events
    return sorted(groups.items(), key=lambda group: (-sum(group[1]), group[0]))


def _coloured(groups: Sequence[tuple[str, list[int]]], totals: Sequence[int], feature: str) -> list[Series]:
    """Return the largest groups as series, and the sum of all others as one more series."""
    # A single group under "others" is shown under its own name instead.
    named = groups if len(groups) <= COLOURS + 1 else groups[:COLOURS]
    prefix = f"{feature}." if feature else ""
    series = [Series(name.removeprefix(prefix), values, place) for place, (name, values) in enumerate(named)]
    others = [total - sum(values[place] for _, values in named) for place, total in enumerate(totals)]
    return [*series, Series("others", others, COLOURS)] if any(others) else series
