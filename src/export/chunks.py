"""Requests from queued rows: read, parse, redact and split by size, one page at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import DecodeError

from telemetry import ExportPolicy, RedactionError, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb

PAGE_ROWS: Final = 500
"""Rows held in memory before they are sent."""

_TAG_BYTES: Final = 1
"""Size of the tag of the only field in each message: `RecordEventsRequest.events`, `EventsPayload.events`."""


@dataclass(slots=True)
class Outgoing:
    """The outcome of the rows to send. Filled while requests are made.

    Attributes:
        sent: Ids passed to the transport.
        bytes: Their serialized size.
        unfit: Ids that must not or cannot be sent, each with the reason. They become dead letters.
        held: Ids that the export mode does not cover. They stay in the queue.
    """

    sent: set[str] = field(default_factory=set)
    bytes: int = 0
    unfit: dict[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)


class ChunkMaker:
    """A maker of requests from rows.

    Args:
        read: Returns the serialized events of rows, by id.
        redactor: Applied to each event immediately before it is serialized.
        policy: Decides which features may be exported now.
        chunk_bytes: The largest request, serialized; a single event may be larger.
    """

    def __init__(
        self,
        read: Callable[[Sequence[str]], Mapping[str, bytes]],
        *,
        redactor: Redactor,
        policy: ExportPolicy,
        chunk_bytes: int,
    ) -> None:
        self._read = read
        self._redactor = redactor
        self._policy = policy
        # The bytes left for events beside the tag and the length of the request's only field.
        self._room = chunk_bytes - (_field_bytes(chunk_bytes) - chunk_bytes)

    def requests(self, ids: Sequence[str], outgoing: Outgoing) -> Iterator[pb.RecordEventsRequest]:
        """Yield requests for rows, in order, and note the outcome of each row in `outgoing`.

        At most one page of rows and one request are in memory, regardless of the number of rows.

        Raises:
            RecorderError: The rows could not be read.
        """
        request = pb.RecordEventsRequest()
        chunk_ids: list[str] = []
        chunk_bytes = 0
        for page in _pages(ids):
            payloads = self._read(page)
            for event_id in page:
                payload = payloads.get(event_id)
                if payload is None:  # marked by a late acknowledgement and pruned meanwhile
                    continue
                events = request.events.events
                size = self._add(events, event_id, payload, outgoing)
                if size is None:
                    continue
                if chunk_ids and chunk_bytes + size > self._room:
                    following = pb.RecordEventsRequest()
                    following.events.events.append(events.pop())
                    yield self._mark_sent(request, chunk_ids, chunk_bytes, outgoing)
                    request, chunk_ids, chunk_bytes = following, [], 0
                chunk_ids.append(event_id)
                chunk_bytes += size
        if chunk_ids:
            yield self._mark_sent(request, chunk_ids, chunk_bytes, outgoing)

    @staticmethod
    def _mark_sent(
        request: pb.RecordEventsRequest, ids: Sequence[str], size: int, outgoing: Outgoing
    ) -> pb.RecordEventsRequest:
        outgoing.sent.update(ids)
        outgoing.bytes += size
        return request

    def _add(
        self, events: "RepeatedCompositeFieldContainer[pb.Event]", event_id: str, payload: bytes, outgoing: Outgoing
    ) -> int | None:
        """Parse an event directly into the request and redact it there.

        Return its size in the request, or None if it must not be in the request.
        """
        event = events.add()
        problem = None
        try:
            event.ParseFromString(payload)
            if event.id != event_id:
                problem = "unreadable: the stored event has a different id than its row"
            # SECURITY: the current export mode decides, even if it was wider when the event was recorded.
            elif not self._policy.covers(event.feature):
                outgoing.held.append(event_id)
            else:
                # SECURITY: redacted with the current allowlist, immediately before serialization.
                self._redactor.redact(event)
                return _field_bytes(event.ByteSize())
        except DecodeError:
            problem = "unreadable: the stored event is not a valid protobuf Event"
        except RedactionError as error:
            problem = f"redaction: {error}"
        # SECURITY: in each of these cases, the event is removed from the request.
        del events[-1]
        if problem is not None:
            outgoing.unfit[event_id] = problem
        return None


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), PAGE_ROWS):
        yield ids[start : start + PAGE_ROWS]


def _field_bytes(size: int) -> int:
    """Return the bytes of a field with a message of `size` bytes: tag, length and message."""
    return _TAG_BYTES + max(1, (size.bit_length() + 6) // 7) + size
