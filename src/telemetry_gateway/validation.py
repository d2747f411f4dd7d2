"""Validate events."""

import math

from telemetry.names import is_valid_name
from telemetry.timestamp_range import MAX_SECONDS, MIN_SECONDS
from telemetry.v1 import telemetrygateway_pb2 as pb

_MAX_NANOS = 999_999_999
_MAX_ID_LENGTH = 256


def rejection_of(event: pb.Event) -> str | None:  # noqa: PLR0911 - one return a rule
    """Return the reason why an event can never be accepted, or None. Contains no parameter value."""
    if not event.id:
        return "id is missing"
    if len(event.id) > _MAX_ID_LENGTH:
        return f"id has more than {_MAX_ID_LENGTH} characters"
    if not event.id.isprintable():
        return "id contains characters that are not printable"
    for field, name in (("feature", event.feature), ("action", event.action)):
        if not is_valid_name(name):
            return f"{field} is not a valid name"
    if not event.HasField("timestamp"):
        return "timestamp is missing"
    if not (MIN_SECONDS <= event.timestamp.seconds <= MAX_SECONDS and 0 <= event.timestamp.nanos <= _MAX_NANOS):
        return "timestamp is out of protobuf's range"
    if not all(math.isfinite(value) for value in event.parameters.metadata.values()):
        return "metadata contains a number that is not finite"
    return None


def merge_legacy_metadata(event: pb.Event) -> None:
    """Move the legacy metadata of the first exporter releases to `metadata`; the legacy values override."""
    if event.parameters.legacy_metadata:
        for key, value in event.parameters.legacy_metadata.items():
            event.parameters.metadata[key] = float(value)
        event.parameters.ClearField("legacy_metadata")
