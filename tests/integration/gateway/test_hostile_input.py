"""Malicious input: each gets a status or a reason, and the gateway continues to serve other clients."""

import contextlib
import gzip
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from support.gateway_client import TIMEOUT, batch, event, metadata, send, stream
from support.gateway_server import RunningGateway, surviving_gateway
from telemetry.v1 import telemetrygateway_pb2 as pb

RECORD_EVENTS = "/telemetrygateway.v1.TelemeteryGatewayService/RecordEvents"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with surviving_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def channel(gateway: RunningGateway) -> Iterator[grpc.Channel]:
    with gateway.channel() as opened:
        yield opened


def _raw(channel: grpc.Channel, *messages: bytes, compression: grpc.Compression | None = None) -> grpc.StatusCode:
    method: Any = channel.stream_stream(RECORD_EVENTS)
    call = method(iter(messages), timeout=TIMEOUT, compression=compression)
    with contextlib.suppress(grpc.RpcError):
        for _ in call:
            pass
    code: grpc.StatusCode = call.code()
    return code


def _deep(depth: int) -> Struct:
    root = Struct()
    here = root
    for _ in range(depth):
        here = here.fields["a"].struct_value
    return root


def _nan_in_private(sent: pb.Event) -> None:
    sent.parameters.private_metadata.fields["a"].number_value = float("nan")


def _years_after(sent: pb.Event) -> None:
    sent.timestamp.seconds = 253_402_300_800


def _years_before(sent: pb.Event) -> None:
    sent.timestamp.seconds = -62_135_596_801


def _nanos(sent: pb.Event) -> None:
    sent.timestamp.nanos = -1


def _no_timestamp(sent: pb.Event) -> None:
    sent.ClearField("timestamp")


def _infinite(sent: pb.Event) -> None:
    sent.parameters.metadata["a"] = float("inf")


def _not_a_number(sent: pb.Event) -> None:
    sent.parameters.metadata["a"] = float("nan")


def _trailing_newline(sent: pb.Event) -> None:
    sent.feature = "search\n"


def _no_id(sent: pb.Event) -> None:
    sent.ClearField("id")


def _long_id(sent: pb.Event) -> None:
    sent.id = "x" * 257


def _nul_in_id(sent: pb.Event) -> None:
    sent.id = "a\0b"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_nan_in_private, "private_metadata cannot be written as JSON"),
        (_years_after, "timestamp is out of protobuf's range"),
        (_years_before, "timestamp is out of protobuf's range"),
        (_nanos, "timestamp is out of protobuf's range"),
        (_no_timestamp, "timestamp is missing"),
        (_infinite, "metadata contains a number that is not finite"),
        (_not_a_number, "metadata contains a number that is not finite"),
        (_trailing_newline, "feature is not a valid name"),
        (_no_id, "id is missing"),
        (_long_id, "id has more than 256 characters"),
        (_nul_in_id, "id contains characters that are not printable"),
    ],
)
def test_an_event_that_can_never_succeed_is_rejected_alone(
    gateway: RunningGateway, channel: grpc.Channel, spoil: Callable[[pb.Event], None], reason: str
) -> None:
    bad, good = event(), event()
    spoil(bad)

    answer = send(channel, [bad, good])

    assert answer.code is grpc.StatusCode.OK
    assert answer.rejected == {bad.id: reason}
    assert gateway.published_ids() == [good.id]


def test_a_message_larger_than_the_limit(channel: grpc.Channel) -> None:
    large = event()
    large.parameters.private_metadata["text"] = "x" * (5 * 1024 * 1024)

    assert send(channel, [large]).code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_gzip_bomb(channel: grpc.Channel) -> None:
    bomb = b"\0" * (64 * 1024 * 1024)
    assert len(gzip.compress(bomb)) < 100_000

    assert _raw(channel, bomb, compression=grpc.Compression.Gzip) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_private_metadata_at_the_depth_limit_is_published(channel: grpc.Channel) -> None:
    deep = event()
    deep.parameters.private_metadata.CopyFrom(_deep(30))

    assert send(channel, [deep]).succeeded == [deep.id]


def test_private_metadata_deeper_than_the_limit(gateway: RunningGateway, channel: grpc.Channel) -> None:
    inner = b""
    for _ in range(
        100
    ):  # Struct{fields{"a": Value{struct_value}}}, encoded by hand, because the library rejects this depth
        value = b"\x2a" + _varint(len(inner)) + inner
        entry = b"\x0a\x01a\x12" + _varint(len(value)) + value
        inner = b"\x0a" + _varint(len(entry)) + entry
    parameters = b"\x1a" + _varint(len(inner)) + inner
    raw_event = event().SerializeToString() + b"\x32" + _varint(len(parameters)) + parameters
    payload = b"\x0a" + _varint(len(raw_event)) + raw_event
    message = b"\x12" + _varint(len(payload)) + payload

    assert _raw(channel, metadata().SerializeToString(), message) is grpc.StatusCode.INVALID_ARGUMENT
    assert gateway.published() == []


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize("message", [b"\xff\xff\xff", b"\x0a\x04\x0a\x02\xff\xfe"])
def test_malformed_messages_and_invalid_utf8(channel: grpc.Channel, message: bytes) -> None:
    assert _raw(channel, message) is grpc.StatusCode.INVALID_ARGUMENT


def test_a_malformed_message_in_a_single_call(channel: grpc.Channel) -> None:
    call: Any = channel.unary_unary(RECORD_EVENTS.removesuffix("s"))

    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff", timeout=TIMEOUT)

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_ten_thousand_events_in_one_stream(gateway: RunningGateway, channel: grpc.Channel) -> None:
    events = [event() for _ in range(10_000)]

    answer = stream(channel, [metadata(), *(batch(*events[at : at + 1000]) for at in range(0, 10_000, 1000))])

    assert answer.succeeded == [one.id for one in events]
    assert gateway.published_ids() == [one.id for one in events]


def test_a_request_id_with_control_characters_is_escaped_in_logs(channel: grpc.Channel) -> None:
    sent = event()

    answer = stream(channel, [metadata(request_id='x"\n{"forged": true}'), batch(sent)])

    assert answer.succeeded == [sent.id]


def test_silent_connections_and_invalid_bytes(gateway: RunningGateway) -> None:
    host, _, port = gateway.address.rpartition(":")
    half_open = [socket.create_connection((host, int(port))) for _ in range(20)]
    half_open[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    half_open[1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    with gateway.channel() as channel:
        assert send(channel, [event()]).code is grpc.StatusCode.OK

    for connection in half_open:
        connection.close()
