"""A fake gateway without a network, which handles requests by a plan. It implements the protocol `export.Gateway`."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import grpc

from export.errors import GatewayError
from telemetry.event import new_event_id
from telemetry.v1 import telemetrygateway_pb2 as pb

OUTCOMES = (
    "acknowledge",
    "acknowledge some",
    "acknowledge twice",
    "acknowledge strangers",
    "say nothing",
    "reject one",
    "away before",
    "away after",
    "too late",
    "unclear",
    "too large",
    "refused",
    "exporter killed before",
    "exporter killed after",
    "another exporter",
    "database busy",
)


class Killed(BaseException):
    """The exporter's process was killed: no code of it runs, not even cleanup."""


@dataclass
class FakeGateway:
    """Remembers what it received.

    Attributes:
        known: Existing ids, sent or not, to respond with ids of events that were not sent.
        plan: The outcomes of the next requests; `acknowledge` if it is empty.
        meanwhile: Called for outcomes that do not happen in the gateway.
        held: The ids that the gateway stores durably.
        acknowledged: The ids that were acknowledged to their sender.
        rejected: The ids that were rejected.
        blame: The number of failures for which each event may be responsible.
        raw: All received bytes.
    """

    meanwhile: Callable[[str], None]
    known: set[str]
    plan: deque[str] = field(default_factory=deque)
    held: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    blame: Counter[str] = field(default_factory=Counter)
    raw: bytearray = field(default_factory=bytearray)

    def open_stream(
        self, request_id: str, batches: Iterable[pb.RecordEventsRequest], *, deadline: timedelta | None = None
    ) -> "_FakeStream":
        return _FakeStream(self, batches)

    def close(self) -> None:
        pass


class _FakeStream:
    def __init__(self, gateway: FakeGateway, batches: Iterable[pb.RecordEventsRequest]) -> None:
        self._gateway = gateway
        self._batches = batches
        self._sent: set[str] = set()

    def cancel(self) -> None:
        pass

    def __iter__(self) -> Iterator[pb.RecordEventsResponse]:
        gateway = self._gateway
        for request in self._batches:
            gateway.meanwhile("look")
            gateway.raw += request.SerializeToString()
            ids = [event.id for event in request.events.events]
            self._sent.update(ids)
            outcome = gateway.plan.popleft() if gateway.plan else "acknowledge"
            yield from self._answers(outcome, ids)

    def _answers(self, outcome: str, ids: list[str]) -> Iterator[pb.RecordEventsResponse]:
        gateway = self._gateway
        if outcome.endswith("before") or outcome in ("unclear", "too large", "refused"):
            self._fail(outcome, ids)
        gateway.held.update(ids)
        if outcome in ("away after", "exporter killed after"):
            self._fail(outcome, ids)
        if outcome in ("another exporter", "database busy"):
            gateway.meanwhile(outcome)
        yield from self._responses(outcome, ids)
        if outcome == "too late":
            self._fail(outcome, ids)

    def _responses(self, outcome: str, ids: list[str]) -> list[pb.RecordEventsResponse]:
        gateway = self._gateway
        if outcome == "say nothing":
            gateway.blame.update(ids)
            return []
        if outcome == "acknowledge some":
            gateway.blame.update(ids[1::2])
            return [self._acknowledge(ids[::2])]
        if outcome == "acknowledge twice":
            return [self._acknowledge(ids + ids), self._acknowledge(ids)]
        if outcome == "acknowledge strangers":
            response = self._acknowledge(ids)
            others = sorted(gateway.known - set(ids))
            response.succeeded_events.extend([*others, new_event_id(), "", "not an id"])
            # Ids that this stream sent before do not count as unknown: the response is only late.
            gateway.acknowledged.update(self._sent.intersection(others))
            return [response]
        if outcome == "reject one":
            gateway.rejected.add(ids[0])
            response = self._acknowledge(ids[1:])
            response.succeeded_events.append(ids[0])  # as for exporters without support for rejections
            response.rejected_events.add(event_id=ids[0], reason="never")
            return [response]
        return [self._acknowledge(ids)]

    def _acknowledge(self, ids: list[str]) -> pb.RecordEventsResponse:
        self._gateway.acknowledged.update(ids)
        return pb.RecordEventsResponse(succeeded_events=ids)

    def _fail(self, outcome: str, ids: list[str]) -> None:
        if outcome.startswith("exporter killed"):
            self._gateway.meanwhile(outcome)
            raise Killed
        code, details = {
            "away before": (grpc.StatusCode.UNAVAILABLE, ""),
            "away after": (grpc.StatusCode.UNAVAILABLE, ""),
            "too late": (grpc.StatusCode.DEADLINE_EXCEEDED, ""),
            "unclear": (grpc.StatusCode.INTERNAL, ""),
            "too large": (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max"),
            "refused": (grpc.StatusCode.UNAUTHENTICATED, ""),
        }[outcome]
        if outcome in ("unclear", "too large"):
            self._gateway.blame.update(ids)
        raise GatewayError.from_status(code, details)
