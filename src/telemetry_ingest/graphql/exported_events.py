"""Lists exported events, page by page, for site administrators."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import DecodeError

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_ingest.errors import InvalidRequestError
from telemetry_store.queue_reading import ExportedEvent, ExportedPlace, QueueReading

MAX_PAGE: Final = 1_000
_LARGEST_INT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """A page of exported events.

    Attributes:
        rows: Its events.
        has_next: Whether there is a next page.
    """

    rows: tuple[ExportedEvent, ...]
    has_next: bool

    def nodes(self) -> list[Mapping[str, Any]]:
        """Return the events as GraphQL nodes."""
        return [{"id": row.id, "exportedAt": row.exported_at, "payload": _payload(row.payload)} for row in self.rows]

    def page_info(self) -> Mapping[str, Any]:
        """Return the GraphQL page info."""
        return {"hasNextPage": self.has_next, "endCursor": _cursor(self.rows[-1]) if self.rows else None}


def read_page(queue: QueueReading, first: int, after: str | None) -> Page:
    """Read a page.

    Args:
        queue: Reads exported events.
        first: Number of events, 1 to 1000.
        after: The end cursor of the previous page.

    Raises:
        InvalidRequestError: The number or the cursor is invalid.
        RecorderError: A database error.
    """
    if not 1 <= first <= MAX_PAGE:
        raise InvalidRequestError("first", f"must be 1 to {MAX_PAGE}")
    rows = queue.exported(first + 1, None if after is None else _place(after))
    return Page(tuple(rows[:first]), has_next=len(rows) > first)


def count(queue: QueueReading) -> int:
    """Return the number of exported events, at most 2^31 - 1, GraphQL's largest integer."""
    return min(queue.exported_count(), _LARGEST_INT)


def _payload(serialized: bytes) -> Mapping[str, Any]:
    try:
        return MessageToDict(pb.Event.FromString(serialized))
    except (DecodeError, SerializeToJsonError):  # the latter: a time or a number that JSON cannot represent
        return {"error": "the event in this row cannot be read"}


def _cursor(row: ExportedEvent) -> str:
    return base64.urlsafe_b64encode(str(row.place).encode()).decode()


def _place(cursor: str) -> ExportedPlace:
    try:
        return ExportedPlace.parse(base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii"))
    except ValueError:
        pass
    raise InvalidRequestError("after", "must be the endCursor of a page")
