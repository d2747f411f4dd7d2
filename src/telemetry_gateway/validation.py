"""What a gateway checks of an event."""

import math

from telemetry.names import is_valid_name
from telemetry.timestamp_range import MAX_SECONDS, MIN_SECONDS
from telemetry.v1 import telemetrygateway_pb2 as pb

_MAX_NANOS = 999_999_999
_MAX_ID_LENGTH = 256


def rejection_of(event: pb.Event) -> str | None:  # noqa: PLR0911 - one return a rule
    """Return why an event can never be accepted; None when it can. Holds no parameter's value."""
    if not event.id:
        return "id is missing"
    if len(event.id) > _MAX_ID_LENGTH:
        return f"id has more than {_MAX_ID_LENGTH} characters"
    if not event.id.isprintable():
        return "id holds characters that cannot be printed"
    for field, name in (("feature", event.feature), ("action", event.action)):
        if not is_valid_name(name):
            return f"{field} breaks the rule for names"
    if not event.HasField("timestamp"):
        return "timestamp is missing"
    if not (MIN_SECONDS <= event.timestamp.seconds <= MAX_SECONDS and 0 <= event.timestamp.nanos <= _MAX_NANOS):
        return "timestamp lies outside protobuf's range"
    if not all(math.isfinite(value) for value in event.parameters.metadata.values()):
        return "metadata holds a number that is not finite"
    return None


def merge_legacy_metadata(event: pb.Event) -> None:
    """Moves what an exporter of the first release sent as metadata to its place; its values win."""
    if event.parameters.legacy_metadata:
        for key, value in event.parameters.legacy_metadata.items():
            event.parameters.metadata[key] = float(value)
        event.parameters.ClearField("legacy_metadata")
