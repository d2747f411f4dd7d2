"""Prometheus instruments that can be asked for any number of times in a process."""

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
    """Return the registry's instrument of this name, made on the first call.

    A registry refuses a second instrument of one name. A host makes its exporter or its application again for each
    lifespan and each test client, in one process; the counts then go on.

    Args:
        kind: `Counter`, `Gauge` or `Histogram`.
        name: The instrument's name; always given with the same kind, labels and options.
        documentation: The help text.
        labels: The labels' names.
        registry: Where it is registered.
        options: More arguments of the kind, such as `buckets`.
    """
    with _LOCK:
        made = _MADE.setdefault(registry, {})
        known: Instrument | None = made.get(name)
        if known is None:
            known = made[name] = kind(name, documentation, labels, registry=registry, **options)
        else:
            # A host's tests may have emptied the registry in between. Usually it is there, which is the ValueError.
            with contextlib.suppress(ValueError):
                registry.register(known)
        return known
