"""A client of the gateway that sends raw messages, without an exporter."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import grpc

from telemetry.event import new_event_id
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import TelemeteryGatewayServiceStub

TIMEOUT = 20
INSTANCE = pb.Identifier(
    unlicensed_instance=pb.Identifier.UnlicensedInstanceIdentifier(
        instance_id="instance-1", external_url="https://x.test"
    )
)
LICENSED = pb.Identifier(
    licensed_instance=pb.Identifier.LicensedInstanceIdentifier(license_key="key-of-a-license", instance_id="instance-2")
)
SERVICE = pb.Identifier(managed_service=pb.Identifier.ManagedServiceIdentifier(service_id="billing"))


@dataclass
class Answer:
    """The result of a stream.

    Attributes:
        responses: The responses in order.
        code: The status code.
        details: The text of the status.
        trailers: The trailing metadata.
    """

    responses: list[pb.RecordEventsResponse] = field(default_factory=list)
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailers: dict[str, str | bytes] = field(default_factory=dict)

    def fail(self, error: grpc.RpcError) -> None:
        """Copy the status of a failed call."""
        assert isinstance(error, grpc.Call)
        self.code, self.details = error.code(), error.details() or ""
        self.trailers = dict(error.trailing_metadata() or ())

    @property
    def succeeded(self) -> list[str]:
        return [event_id for response in self.responses for event_id in response.succeeded_events]

    @property
    def rejected(self) -> dict[str, str]:
        return {one.event_id: one.reason for response in self.responses for one in response.rejected_events}


def event(event_id: str | None = None, feature: str = "search.results", action: str = "view") -> pb.Event:
    """Return a valid event."""
    made = pb.Event(id=event_id or new_event_id(), feature=feature, action=action)
    made.timestamp.seconds = 1_760_000_000
    made.source.server.version = "1.2.3"
    made.parameters.metadata["count"] = 2
    return made


def metadata(identifier: pb.Identifier = INSTANCE, request_id: str = "request-1") -> pb.RecordEventsRequest:
    """Return the first message of a stream."""
    return pb.RecordEventsRequest(metadata=pb.RecordEventsRequestMetadata(request_id=request_id, identifier=identifier))


def batch(*events: pb.Event) -> pb.RecordEventsRequest:
    """Return a message that holds events."""
    return pb.RecordEventsRequest(events=pb.RecordEventsRequest.EventsPayload(events=events))


def stream(
    channel: grpc.Channel, requests: Iterable[pb.RecordEventsRequest], *, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """Send a whole stream, and return the result."""
    answer = Answer()
    call = TelemeteryGatewayServiceStub(channel).RecordEvents(_each(requests), timeout=TIMEOUT, metadata=headers)
    try:
        answer.responses.extend(call)
    except grpc.RpcError as error:
        answer.fail(error)
    return answer


def send(
    channel: grpc.Channel,
    events: Sequence[pb.Event],
    identifier: pb.Identifier = INSTANCE,
    *,
    token: str | None = None,
) -> Answer:
    """Send one batch in a separate stream."""
    return stream(channel, [metadata(identifier), batch(*events)], headers=bearer(token))


def send_one(
    channel: grpc.Channel, one: pb.Event, identifier: pb.Identifier = SERVICE, *, token: str | None = None
) -> Answer:
    """Call `RecordEvent`."""
    request = pb.RecordEventRequest(metadata=metadata(identifier).metadata, event=one)
    answer = Answer()
    try:
        TelemeteryGatewayServiceStub(channel).RecordEvent(request, timeout=TIMEOUT, metadata=bearer(token))
    except grpc.RpcError as error:
        answer.fail(error)
    return answer


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    """Return the headers for a token."""
    return () if token is None else (("authorization", f"Bearer {token}"),)


def _each(requests: Iterable[pb.RecordEventsRequest]) -> Iterator[pb.RecordEventsRequest]:
    yield from requests
