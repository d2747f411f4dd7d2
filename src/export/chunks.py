"""Turns queued rows into requests: read, parse, redact, and cut to size, a page at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import DecodeError

from telemetry import ExportPolicy, RedactionError, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb

PAGE_ROWS: Final = 500
"""How many rows are in memory before they are sent."""

_TAG_BYTES: Final = 1
"""Of the one field in each: `RecordEventsRequest.events`, `EventsPayload.events`."""


@dataclass(slots=True)
class Outgoing:
    """What became of the rows that were to be sent. Filled while requests are made.

    Attributes:
        sent: Ids handed to the transport.
        bytes: Their serialized size.
        unfit: Ids that must not or cannot be sent, each with the reason; they are dead letters.
        held: Ids outside the export mode; they stay in the queue.
    """

    sent: set[str] = field(default_factory=set)
    bytes: int = 0
    unfit: dict[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)


class ChunkMaker:
    """Makes requests from rows.

    Args:
        read: Returns the serialized events of rows, by id.
        redactor: Applied to each event immediately before its bytes are made.
        policy: Says which features may leave now.
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
        # What is left for the events when the request's one field has its tag and its length.
        self._room = chunk_bytes - (_field_bytes(chunk_bytes) - chunk_bytes)

    def requests(self, ids: Sequence[str], outgoing: Outgoing) -> Iterator[pb.RecordEventsRequest]:
        """Yields requests for rows, in order, noting in `outgoing` what became of each.

        Memory holds a page of rows and one request, whatever the number of rows.

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
                if payload is None:  # exported by a late acknowledgement meanwhile, and pruned
                    continue
                events = request.events.events
                size = self._add(events, event_id, payload, outgoing)
                if size is None:
                    continue
                if chunk_ids and chunk_bytes + size > self._room:
                    following = pb.RecordEventsRequest()
                    following.events.events.append(events.pop())
                    yield self._hand_over(request, chunk_ids, chunk_bytes, outgoing)
                    request, chunk_ids, chunk_bytes = following, [], 0
                chunk_ids.append(event_id)
                chunk_bytes += size
        if chunk_ids:
            yield self._hand_over(request, chunk_ids, chunk_bytes, outgoing)

    @staticmethod
    def _hand_over(
        request: pb.RecordEventsRequest, ids: Sequence[str], size: int, outgoing: Outgoing
    ) -> pb.RecordEventsRequest:
        outgoing.sent.update(ids)
        outgoing.bytes += size
        return request

    def _add(
        self, events: "RepeatedCompositeFieldContainer[pb.Event]", event_id: str, payload: bytes, outgoing: Outgoing
    ) -> int | None:
        """Parses an event straight into the request and redacts it there.

        Returns its size in the request, or None when it does not belong there.
        """
        event = events.add()
        problem = None
        try:
            event.ParseFromString(payload)
            if event.id != event_id:
                problem = "unreadable: the stored event has another id than its row"
            # SECURITY: an export mode that was narrowed since holds back what it does not cover.
            elif not self._policy.covers(event.feature):
                outgoing.held.append(event_id)
            else:
                # SECURITY: redacted with the allowlist of this moment, immediately before the bytes are made.
                self._redactor.redact(event)
                return _field_bytes(event.ByteSize())
        except DecodeError:
            problem = "unreadable: the stored event is no protobuf Event"
        except RedactionError as error:
            problem = f"redaction: {error}"
        # SECURITY: whatever it is, it leaves the request again.
        del events[-1]
        if problem is not None:
            outgoing.unfit[event_id] = problem
        return None


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), PAGE_ROWS):
        yield ids[start : start + PAGE_ROWS]


def _field_bytes(size: int) -> int:
    """Returns what a message of `size` bytes takes as a field: its tag, its length, itself."""
    return _TAG_BYTES + max(1, (size.bit_length() + 6) // 7) + size
