"""Finds sinks that other packages bring."""

from importlib.metadata import entry_points
from typing import Any, Final

from telemetry_gateway.errors import SinkError
from telemetry_gateway.sinks.sink import Sink

ENTRY_POINT_GROUP: Final = "telemetry.gateway.sinks"


def load_sink(name: str, settings: Any) -> Sink:
    """Makes the sink of the entry point `name`: a callable that is given the gateway's settings.

    Args:
        name: The entry point's name, in the group `telemetry.gateway.sinks`.
        settings: Handed on; a `GatewaySettings`.

    Raises:
        SinkError: There is no such entry point, or what it makes is no sink.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise SinkError(f"no package installed here brings the sink {name!r} (entry points found: {known})")
    sink: Sink = found[name].load()(settings)
    needed = ("publish", "published_since", "position", "close", "max_message_bytes")
    missing = [part for part in needed if not hasattr(sink, part)]
    if missing:
        raise SinkError(f"what {found[name].value} makes is no sink: it lacks {', '.join(missing)}")
    return sink
