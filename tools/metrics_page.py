"""Render the reference of Prometheus metrics from the instruments."""

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry

from export.metrics import ExportMetrics
from telemetry_gateway.metrics import GatewayMetrics
from telemetry_ingest.metrics import GraphQLMetrics

_HEAD: Final = """\
# Metrics

Generated from the code by `make docs`; do not edit. No label ever holds anything that an event said. Counters end in
`_total` when they are scraped; histograms have `_bucket`, `_sum` and `_count`.
"""
_PROGRAMS: Final = (
    ("The export job", "Of `telemetry export run`.", ExportMetrics),
    ("The gateway", "Of `telemetry gateway serve`.", GatewayMetrics),
    ("GraphQL", "Of `telemetry ingest serve` and `create_app`.", GraphQLMetrics),
)


def render_metrics() -> str:
    """Return the page."""
    return _HEAD + "".join(_section(*program) for program in _PROGRAMS)


def _section(title: str, text: str, instruments: Any) -> str:
    registry = CollectorRegistry()
    instruments(registry)
    lines = ["", f"## {title}", "", text, "", "| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *_rows(registry), ""])


def _rows(registry: CollectorRegistry) -> Iterator[str]:
    # The instruments themselves, because one with labels has no samples before its first use.
    instruments: list[Any] = list(registry._collector_to_names)  # noqa: SLF001 - there is no public API
    for instrument in instruments:
        labels = ", ".join(f"`{label}`" for label in instrument._labelnames)  # noqa: SLF001
        (metric,) = instrument.describe()
        yield f"| `{metric.name}` | {metric.type} | {labels} | {metric.documentation} |"
