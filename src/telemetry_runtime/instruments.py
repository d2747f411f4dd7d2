"""Prometheus metrics that can be requested any number of times in a process."""

import contextlib
import threading
from collections.abc import Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)

_MADE: Final[WeakKeyDictionary[CollectorRegistry, dict[str, Any]]] = WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def instrument(
    kind: type[Instrument],
    name: str,
    documentation: str,
    labels: Sequence[str] = (),
    *,
    registry: CollectorRegistry,
    **options: Any,
) -> Instrument:
    """Return the registry's metric of this name; create it on the first call.

    A registry rejects a second metric with the same name. A host may create its exporter or its application again for
    each lifespan and each test client in one process; counters then keep their values.

    Args:
        kind: `Counter`, `Gauge` or `Histogram`.
        name: The metric's name. Each call with this name must pass the same kind, labels and options.
        documentation: The help text.
        labels: The label names.
        registry: The registry that holds the metric.
        options: Further arguments of the class, such as `buckets`.
    """
    with _LOCK:
        made = _MADE.setdefault(registry, {})
        known: Instrument | None = made.get(name)
        if known is None:
            known = made[name] = kind(name, documentation, labels, registry=registry, **options)
        else:
            # A host's tests may have emptied the registry. ValueError: the metric is still registered, as usual.
            with contextlib.suppress(ValueError):
                registry.register(known)
        return known
