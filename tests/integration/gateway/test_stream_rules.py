"""The protocol of streams, with a real gateway on loopback."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.gateway_client import (
    INSTANCE,
    LICENSED,
    SERVICE,
    batch,
    event,
    metadata,
    send,
    send_one,
    stream,
)
from support.gateway_server import RunningGateway, running_gateway
from telemetry.v1 import telemetrygateway_pb2 as pb

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'billing = "{TOKEN}"\nother = "another-token"\n')
    with running_gateway(tmp_path, service_tokens_file=tokens) as running:
        yield running


@pytest.fixture
def channel(gateway: RunningGateway) -> Iterator[grpc.Channel]:
    with gateway.channel() as opened:
        yield opened


def test_each_batch_is_published_and_acknowledged(gateway: RunningGateway, channel: grpc.Channel) -> None:
    first, second, third = event(), event(), event()

    answer = stream(channel, [metadata(), batch(first, second), batch(), pb.RecordEventsRequest(), batch(third)])

    assert answer.code is grpc.StatusCode.OK
    assert [list(response.succeeded_events) for response in answer.responses] == [[first.id, second.id], [third.id]]
    assert gateway.published_ids() == [first.id, second.id, third.id]


def test_a_message_has_the_documented_format(gateway: RunningGateway, channel: grpc.Channel) -> None:
    sent = event("0199a000-0000-7000-8000-000000000001")
    sent.user.user_id = 2**53 + 1
    sent.parameters.private_metadata["query"] = "cats"
    sent.parameters.metadata["recordsPrivateMetadataQuery"] = 1
    sent.parameters.metadata["recordsPrivateMetadataOther"] = 0
    sent.parameters.metadata["recordsPrivateMetadata"] = 1

    send(channel, [sent], LICENSED)

    assert gateway.published() == [
        {
            "attributes": {
                "publisher.source": "licensed_instance",
                "event.feature": "search.results",
                "event.action": "view",
                "event.hasPrivateMetadata": "true",
                "event.recordsPrivateMetadataQuery": "true",
            },
            "message": {
                "metadata": {
                    "requestId": "request-1",
                    "identifier": {"licensedInstance": {"licenseKey": "key-of-a-license", "instanceId": "instance-2"}},
                },
                "event": {
                    "id": "0199a000-0000-7000-8000-000000000001",
                    "timestamp": "2025-10-09T08:53:20Z",
                    "feature": "search.results",
                    "action": "view",
                    "source": {"server": {"version": "1.2.3"}},
                    "parameters": {
                        "metadata": {
                            "count": 2.0,
                            "recordsPrivateMetadataQuery": 1.0,
                            "recordsPrivateMetadataOther": 0.0,
                            "recordsPrivateMetadata": 1.0,
                        },
                        "privateMetadata": {"query": "cats"},
                    },
                    "user": {"userId": "9007199254740993"},
                },
            },
        }
    ]


def _identifier(**kinds: object) -> pb.RecordEventsRequest:
    return metadata(pb.Identifier(**kinds))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("requests", "details"),
    [
        ([], "metadata: is missing"),
        ([pb.RecordEventsRequest()], "metadata: is missing"),
        ([batch(event())], "events: were sent before metadata"),
        ([metadata(), metadata()], "metadata: was sent twice"),
        ([metadata(pb.Identifier())], "metadata.identifier: is missing"),
        ([_identifier(licensed_instance={"instance_id": "x"})], "lacks license_key"),
        ([_identifier(unlicensed_instance={"external_url": "x"})], "lacks instance_id"),
        ([_identifier(managed_service={"service_environment": "x"})], "lacks service_id"),
        ([_identifier(managed_service={"service_id": "licensed_instance"})], "reserved for instances"),
        ([_identifier(unlicensed_instance={"instance_id": "x" * 20_000})], "larger than 16384 bytes"),
    ],
)
def test_a_stream_that_breaks_the_protocol_is_an_invalid_argument(
    gateway: RunningGateway, channel: grpc.Channel, requests: list[pb.RecordEventsRequest], details: str
) -> None:
    answer = stream(channel, requests)

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert details in answer.details
    assert gateway.published() == []


def test_acknowledgements_before_a_violation_stay_valid(gateway: RunningGateway, channel: grpc.Channel) -> None:
    sent = event()

    answer = stream(channel, [metadata(), batch(sent), metadata()])

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert answer.succeeded == [sent.id]
    assert gateway.published_ids() == [sent.id]


def test_rejected_events_of_an_instance_are_in_both_lists(gateway: RunningGateway, channel: grpc.Channel) -> None:
    good, bad, nameless = event(), event(feature="Not A Name"), pb.Event()

    answer = send(channel, [good, bad, nameless])

    assert answer.rejected == {bad.id: "feature is not a valid name", "": "id is missing"}
    assert answer.succeeded == [good.id, bad.id]
    assert gateway.published_ids() == [good.id]


def test_rejected_events_of_a_managed_service_are_only_rejected(gateway: RunningGateway, channel: grpc.Channel) -> None:
    good, bad = event(), event(action="x")

    answer = send(channel, [good, bad], SERVICE, token=TOKEN)

    assert answer.rejected == {bad.id: "action is not a valid name"}
    assert answer.succeeded == [good.id]
    assert gateway.published()[0]["attributes"]["publisher.source"] == "billing"


def test_an_id_sent_twice_and_valid_once_has_succeeded(gateway: RunningGateway, channel: grpc.Channel) -> None:
    sent = event()

    answer = send(channel, [event(sent.id, action="x"), sent, sent])

    assert answer.succeeded == [sent.id]
    assert answer.rejected == {}
    assert gateway.published_ids() == [sent.id]


def test_duplicates_are_acknowledged_and_not_published_again(gateway: RunningGateway, channel: grpc.Channel) -> None:
    sent = event()

    answers = [send(channel, [sent]), send(channel, [sent]), send(channel, [sent], LICENSED)]

    assert [answer.succeeded for answer in answers] == [[sent.id]] * 3
    # The same id from another publisher is another event.
    assert gateway.published_ids() == [sent.id, sent.id]


def test_metadata_of_first_release_exporters_is_merged(gateway: RunningGateway, channel: grpc.Channel) -> None:
    old = event()
    old.parameters.legacy_metadata["count"] = 7
    old.parameters.legacy_metadata["old"] = 1

    send(channel, [old])

    assert gateway.published()[0]["message"]["event"]["parameters"] == {"metadata": {"count": 7.0, "old": 1.0}}


def test_unknown_fields_are_ignored(gateway: RunningGateway, channel: grpc.Channel) -> None:
    newer = pb.Event.FromString(event().SerializeToString() + bytes([0xFA, 0x3E, 0x01, 0x41]))

    answer = send(channel, [newer])

    assert answer.succeeded == [newer.id]
    assert gateway.published_ids() == [newer.id]


def test_an_event_too_large_for_the_sink_is_rejected_with_its_size(tmp_path: Path) -> None:
    large, small = event(), event()
    large.parameters.private_metadata["text"] = "x" * 5000

    with running_gateway(tmp_path, sink_max_message_bytes=4000) as gateway, gateway.channel() as channel:
        answer = send(channel, [large, small])

        assert answer.rejected.keys() == {large.id}
        assert "bytes as a message, more than the sink's limit of 4000" in answer.rejected[large.id]
        assert gateway.published_ids() == [small.id]


class TestManagedServices:
    @pytest.mark.parametrize(
        "headers",
        [
            (),
            (("authorization", "Basic abc"),),
            (("authorization", "Bearer "),),
            (("authorization", f"Bearer {TOKEN} x"),),
            (("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")),
        ],
    )
    def test_a_missing_or_malformed_token(self, channel: grpc.Channel, headers: tuple[tuple[str, str], ...]) -> None:
        answer = stream(channel, [metadata(SERVICE), batch(event())], headers=headers)

        assert answer.code is grpc.StatusCode.UNAUTHENTICATED
        assert TOKEN not in answer.details

    @pytest.mark.parametrize("token", ["wrong", "another-token"])
    def test_a_token_of_another_service(self, channel: grpc.Channel, token: str) -> None:
        answer = send(channel, [event()], SERVICE, token=token)

        assert answer.code is grpc.StatusCode.PERMISSION_DENIED

    def test_a_service_without_a_token(self, channel: grpc.Channel) -> None:
        unknown = pb.Identifier(managed_service={"service_id": "unknown"})  # type: ignore[arg-type]

        assert send(channel, [event()], unknown, token=TOKEN).code is grpc.StatusCode.PERMISSION_DENIED

    def test_a_gateway_without_tokens_rejects_managed_services(self, tmp_path: Path) -> None:
        (tmp_path / "own").mkdir()
        with running_gateway(tmp_path / "own") as gateway, gateway.channel() as channel:
            answer = send(channel, [event()], SERVICE, token=TOKEN)

        assert answer.code is grpc.StatusCode.PERMISSION_DENIED
        assert "authentication is not configured" in answer.details

    def test_one_event(self, gateway: RunningGateway, channel: grpc.Channel) -> None:
        sent = event()

        assert send_one(channel, sent, token=TOKEN).code is grpc.StatusCode.OK
        assert gateway.published_ids() == [sent.id]

    @pytest.mark.parametrize("identifier", [INSTANCE, LICENSED, pb.Identifier()])
    def test_one_event_of_an_instance_is_rejected(self, channel: grpc.Channel, identifier: pb.Identifier) -> None:
        assert send_one(channel, event(), identifier, token=TOKEN).code is grpc.StatusCode.INVALID_ARGUMENT

    def test_one_event_that_is_invalid(self, gateway: RunningGateway, channel: grpc.Channel) -> None:
        answer = send_one(channel, pb.Event(id="x"), token=TOKEN)

        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert answer.details == "event: feature is not a valid name"
        assert gateway.published() == []


def test_health_is_serving(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)

    for name in ("", "telemetrygateway.v1.TelemeteryGatewayService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
