"""The scripted gateway, over real gRPC."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import grpc
import pytest

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import TelemeteryGatewayServiceStub
from telemetry_testing import (
    Batch,
    EndStream,
    ScriptedGateway,
    acknowledge,
    delay,
    ignore,
    in_turn,
    refuse,
    reject,
    scripted_gateway,
)

Answer = tuple[list[str], dict[str, str], str]
"""Acknowledged ids, reasons of rejected events, and the final status."""

Send = Callable[..., Answer]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as running:
        yield running


@pytest.fixture
def stub(gateway: ScriptedGateway) -> Iterator[TelemeteryGatewayServiceStub]:
    with grpc.insecure_channel(gateway.address.removeprefix("http://")) as channel:
        yield TelemeteryGatewayServiceStub(channel)


def event(event_id: str) -> pb.Event:
    return pb.Event(id=event_id, feature="chat" if event_id.startswith("c") else "search", action="submit")


@pytest.fixture
def send(stub: TelemeteryGatewayServiceStub) -> Send:
    def stream(*batches: Sequence[str], timeout: float = 30) -> Answer:
        requests = [pb.RecordEventsRequest(metadata=pb.RecordEventsRequestMetadata(request_id="r"))]
        requests += [
            pb.RecordEventsRequest(events=pb.RecordEventsRequest.EventsPayload(events=map(event, ids)))
            for ids in batches
        ]
        succeeded: list[str] = []
        rejected: dict[str, str] = {}
        try:
            for response in stub.RecordEvents(iter(requests), timeout=timeout):
                succeeded += response.succeeded_events
                rejected |= {each.event_id: each.reason for each in response.rejected_events}
        except grpc.RpcError as error:
            return succeeded, rejected, error.code().name
        return succeeded, rejected, "OK"

    return stream


@pytest.fixture
def send_one(stub: TelemeteryGatewayServiceStub) -> Callable[[str], str]:
    def call(event_id: str) -> str:
        try:
            stub.RecordEvent(pb.RecordEventRequest(event=event(event_id)), timeout=30)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    return call


def test_it_acknowledges_and_keeps_received_events(gateway: ScriptedGateway, send: Send) -> None:
    assert send(["a", "b"], ["c"]) == (["a", "b", "c"], {}, "OK")
    assert (gateway.received, gateway.streams, len(gateway.batches)) == (["a", "b", "c"], 1, 2)
    assert gateway.metadata[0].request_id == "r"
    assert b"search" in gateway.raw


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", grpc.StatusCode.UNAVAILABLE])
def test_it_ends_streams_with_a_status(gateway: ScriptedGateway, send: Send, code: str | grpc.StatusCode) -> None:
    gateway.script = in_turn(acknowledge, refuse(code), acknowledge)
    assert send(["a"], ["b"], ["c"]) == (["a"], {}, code if isinstance(code, str) else code.name)
    assert send(["b"], ["c"]) == (["b", "c"], {}, "OK")


def test_it_rejects_some_features_or_all(gateway: ScriptedGateway, send: Send) -> None:
    gateway.script = reject("too odd", "chat")
    assert send(["a", "c"]) == (["a"], {"c": "too odd"}, "OK")
    gateway.script = reject("too odd")
    assert send(["a"]) == ([], {"a": "too odd"}, "OK")


def test_it_ignores_batches_and_ends_streams_early(gateway: ScriptedGateway, send: Send) -> None:
    def end(batch: Batch) -> pb.RecordEventsResponse:
        raise EndStream

    gateway.script = in_turn(ignore, lambda _batch: None, acknowledge, end)
    assert send(["a"], ["b"], ["c"], ["d"], ["e"]) == (["c"], {}, "OK")
    assert gateway.received == ["a", "b", "c", "d"]


def test_it_delays_responses(gateway: ScriptedGateway, send: Send) -> None:
    gateway.script = delay(0.2)
    began = time.monotonic()
    assert send(["a"]) == (["a"], {}, "OK")
    assert time.monotonic() - began >= 0.2
    gateway.script = delay(3, refuse("INTERNAL"))
    assert send(["b"], timeout=0.5) == ([], {}, "DEADLINE_EXCEEDED")


def test_it_breaks_connections(gateway: ScriptedGateway, send: Send) -> None:
    may_end = threading.Event()

    def wait(batch: Batch) -> pb.RecordEventsResponse:
        threading.Thread(target=gateway.close_connections).start()
        assert may_end.wait(30)
        raise EndStream

    gateway.script = in_turn(acknowledge, wait)
    assert send(["a"], ["b"])[2] in ("UNAVAILABLE", "CANCELLED")
    may_end.set()
    assert send(["b"]) == ([], {}, "UNAVAILABLE")
    assert gateway.received == ["a", "b"]


def test_a_unary_call_is_answered_by_its_status(gateway: ScriptedGateway, send_one: Callable[[str], str]) -> None:
    def end(batch: Batch) -> pb.RecordEventsResponse:
        raise EndStream

    gateway.script = in_turn(acknowledge, refuse("PERMISSION_DENIED"), reject("too odd"), ignore, end)
    answers = [send_one("a") for _ in range(5)]
    assert answers == ["OK", "PERMISSION_DENIED", "INVALID_ARGUMENT", "UNAVAILABLE", "OK"]


def test_invalid_scripts_are_rejected() -> None:
    with pytest.raises(ValueError, match="in_turn requires at least one script"):
        in_turn()
    with pytest.raises(KeyError):
        refuse("RESOURCE_EXAUSTED")
