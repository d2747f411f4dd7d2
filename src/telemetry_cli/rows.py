"""Find and print rows of the queue."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from telemetry import InvalidIdError, TelemetryError
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_cli.event_content import event_content
from telemetry_cli.export_preview import ExportPreview
from telemetry_cli.output import out, print_facts, print_json, print_text
from telemetry_store.queue_reading import QueuedEvent, QueueReading, QueueState, is_event_id


class EventNotFoundError(TelemetryError):
    """The event does not exist, or is in a different state than required."""


class ReadEvent(NamedTuple):
    """The event of a row.

    Attributes:
        name: Its feature and action; a note if it cannot be read.
        content: The event as a gateway publishes it; None if it cannot be read or represented as JSON.
    """

    name: str
    content: dict[str, Any] | None


def checked_ids(ids: Sequence[str]) -> list[str]:
    """Return ids without duplicates.

    Raises:
        InvalidIdError: An id is not a valid event id.
    """
    for event_id in ids:
        _check_id(event_id)
    return list(dict.fromkeys(ids))


def _check_id(event_id: str) -> None:
    if not is_event_id(event_id):
        raise InvalidIdError("id", "must be a UUID in canonical lower-case text")


def find(reading: QueueReading, event_id: str, *states: QueueState) -> QueuedEvent:
    """Return a row of the queue.

    Args:
        reading: The queue.
        event_id: The id of its event.
        states: The states that are accepted; any state if empty.

    Raises:
        InvalidIdError: The id is not a valid event id.
        EventNotFoundError: The row does not exist, or is in a different state.
    """
    _check_id(event_id)
    row = reading.event(event_id)
    if row is None:
        raise EventNotFoundError(
            f"there is no event {event_id} in the queue: it was never queued, or it was exported and cleaned up"
        )
    if states and row.state not in states:
        raise EventNotFoundError(
            f"the event {event_id} is {row.state.value}; inspect it with: telemetry queue show {event_id}"
        )
    return row


def event_of(payload: bytes) -> ReadEvent:
    """Return the event of a row, as stored in the queue."""
    event = pb.Event()
    try:
        event.ParseFromString(payload)
    except DecodeError:
        return ReadEvent("(cannot be read)", None)
    return ReadEvent(f"{event.feature} {event.action}", event_content(event))


def time_text(moment: datetime | None) -> str | None:
    """Return a time as text for a table."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def row_facts(row: QueuedEvent) -> dict[str, Any]:
    """Return a row for `--json`."""
    return {
        "id": row.id,
        "state": row.state.value,
        "timestamp": row.timestamp,
        "due_at": row.due_at,
        "attempts": row.attempts,
        "exported_at": row.exported_at,
        "dead_at": row.dead_at,
        "dead_reason": row.dead_reason,
        "event": event_of(row.payload).content,
    }


def print_event(row: QueuedEvent, preview: ExportPreview | None, *, as_json: bool) -> None:
    """Print a row with its event as stored in the queue, and the preview of its export."""
    facts = row_facts(row)
    if as_json:
        print_json({**facts, **({} if preview is None else {"would_leave": preview.as_json()})})
        return
    event = facts.pop("event")
    print_facts("Event", {name.replace("_", " "): value for name, value in facts.items() if value is not None})
    if event is None:
        print_text("The stored event cannot be read or represented as JSON.")
    else:
        out.print_json(data=event)
    if preview is None:
        return
    if preview.held_because is not None:
        print_text(f"Not exported: {preview.held_because}")
    for held in preview.held_back:
        print_text(f"  held back: {held.place}: {held.because}")
