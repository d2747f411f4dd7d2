"""Rows of the queue as commands find and print them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from telemetry import InvalidIdError, TelemetryError
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_cli.event_content import event_content
from telemetry_cli.leaving import Leaving
from telemetry_cli.output import out, print_facts, print_json, print_text
from telemetry_store.queue_reading import QueuedEvent, QueueReading, QueueState, is_event_id


class EventNotFoundError(TelemetryError):
    """There is no such event, or it is in another state than the one that was asked for."""


class ReadEvent(NamedTuple):
    """A row's event.

    Attributes:
        name: Its feature and action; a remark where it cannot be read.
        content: The event as a gateway would publish it; None where it cannot be read, or not be
            written as JSON.
    """

    name: str
    content: dict[str, Any] | None


def checked_ids(ids: Sequence[str]) -> list[str]:
    """Returns ids without repetitions.

    Raises:
        InvalidIdError: One is no event id.
    """
    for event_id in ids:
        _check_id(event_id)
    return list(dict.fromkeys(ids))


def _check_id(event_id: str) -> None:
    if not is_event_id(event_id):
        raise InvalidIdError("id", "must be a UUID in canonical lower-case text")


def find(reading: QueueReading, event_id: str, *states: QueueState) -> QueuedEvent:
    """Returns a row of the queue.

    Args:
        reading: The queue.
        event_id: Which.
        states: It must be in one of these; none given: in any.

    Raises:
        InvalidIdError: That is no event id.
        EventNotFoundError: There is no such row, or it is in another state.
    """
    _check_id(event_id)
    row = reading.event(event_id)
    if row is None:
        raise EventNotFoundError(
            f"there is no event {event_id} in the queue: it was never queued, or it was exported and cleaned up since"
        )
    if states and row.state not in states:
        raise EventNotFoundError(
            f"the event {event_id} is {row.state.value}; see it with: telemetry queue show {event_id}"
        )
    return row


def event_of(payload: bytes) -> ReadEvent:
    """Returns a row's event as it stands in the queue."""
    event = pb.Event()
    try:
        event.ParseFromString(payload)
    except DecodeError:
        return ReadEvent("(cannot be read)", None)
    return ReadEvent(f"{event.feature} {event.action}", event_content(event))


def time_text(moment: datetime | None) -> str | None:
    """Returns a point in time for a table."""
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def row_facts(row: QueuedEvent) -> dict[str, Any]:
    """Returns a row for `--json`."""
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


def print_event(row: QueuedEvent, leaving: Leaving | None, *, as_json: bool) -> None:
    """Prints one row with its event as it stands in the queue, and what would become of it."""
    facts = row_facts(row)
    if as_json:
        print_json({**facts, **({} if leaving is None else {"would_leave": leaving.as_json()})})
        return
    event = facts.pop("event")
    print_facts("Event", {name.replace("_", " "): value for name, value in facts.items() if value is not None})
    if event is None:
        print_text("The stored event cannot be read, or not be written as JSON.")
    else:
        out.print_json(data=event)
    if leaving is None:
        return
    if leaving.held_because is not None:
        print_text(f"Nothing of it leaves: {leaving.held_because}")
    for held in leaving.held_back:
        print_text(f"  held back: {held.place}: {held.because}")
