"""Load sinks from other packages."""

from importlib.metadata import entry_points
from typing import Any, Final

from telemetry_gateway.errors import SinkError
from telemetry_gateway.sinks.sink import Sink

ENTRY_POINT_GROUP: Final = "telemetry.gateway.sinks"


def load_sink(name: str, settings: Any) -> Sink:
    """Create a sink by calling the entry point `name` with the gateway's settings.

    Args:
        name: The name of the entry point, in the group `telemetry.gateway.sinks`.
        settings: The argument of the call, a `GatewaySettings`.

    Raises:
        SinkError: There is no such entry point, or it does not return a sink.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise SinkError(f"no installed package provides the sink {name!r} (entry points found: {known})")
    sink: Sink = found[name].load()(settings)
    needed = ("publish", "published_since", "position", "close", "max_message_bytes")
    missing = [part for part in needed if not hasattr(sink, part)]
    if missing:
        raise SinkError(f"{found[name].value} does not return a valid sink: it lacks {', '.join(missing)}")
    return sink
