"""A recorder that sends directly to a gateway: without a database, with the same validation."""

import asyncio
import copy
import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from export import ExporterSettings, GatewayError, GatewayStore, NotRecordedError
from recorder import AsyncRecorder, BestEffortRecorder, BufferedRecorder, InvalidConnectionError, Recorder
from support.events import CANARY
from support.gateway_certificates import CertificateAuthority
from support.gateway_server import RunningGateway, running_gateway
from telemetry import EventParameters, InvalidNameError, NewEvent, RedactionError, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_runtime.settings import InvalidSettingsError
from telemetry_testing import Batch, Refuse, ScriptedGateway, acknowledge, scripted_gateway

TOKEN = "SECRET-TOKEN"
SECRET = EventParameters(metadata={"n": 1}, private_metadata={"query": CANARY})
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
MakeRecorder = Callable[..., Recorder]


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@pytest.fixture
def gateway(tmp_path: Path, certificates: CertificateAuthority) -> Iterator[RunningGateway]:
    certificate, key = certificates.issue("gateway")
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'billing = "{TOKEN}"\n')
    with running_gateway(tmp_path, tls_cert_file=certificate, tls_key_file=key, service_tokens_file=tokens) as running:
        yield running


@pytest.fixture
def scripted(certificates: CertificateAuthority) -> Iterator[ScriptedGateway]:
    certificate, key = certificates.issue("scripted")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    with scripted_gateway(credentials=credentials) as running:
        yield running


@pytest.fixture
def make(certificates: CertificateAuthority) -> Iterator[MakeRecorder]:
    made: list[Recorder] = []

    def recorder(address: str, *, deadline: float = 10, **changes: Any) -> Recorder:
        settings: dict[str, Any] = {
            "export_addr": address,
            "service_id": "billing",
            "bearer_token": TOKEN,
            "export_mode": "all",
            "tls_ca_file": certificates.file,
        }
        store = GatewayStore.from_settings(
            ExporterSettings.load(**(settings | changes)), deadline=timedelta(seconds=deadline)
        )
        made.append(Recorder(store, service_version="1.0"))
        return made[-1]

    yield recorder
    for each in made:
        each.close()


def test_events_are_durable_at_the_gateway_without_private_data(gateway: RunningGateway, make: MakeRecorder) -> None:
    recorder = make(f"https://{gateway.address}")
    one = recorder.record("search", "submit", SECRET)
    many = recorder.batch_record([NewEvent("search", "submit", SECRET)] * 3)
    assert gateway.published_ids() == [one, *many]
    assert CANARY not in gateway.sink_file.read_text()
    assert {line["attributes"]["publisher.source"] for line in gateway.published()} == {"billing"}
    assert recorder.batch_record([]) == []


def test_a_large_batch_is_split(scripted: ScriptedGateway, make: MakeRecorder) -> None:
    recorder = make(scripted.address, chunk_bytes=64 * 1024)
    text = EventParameters(billing_metadata=None, metadata={f"key-{'x' * 100}-{n}": n for n in range(10)})
    ids = recorder.batch_record([NewEvent("search", "submit", text)] * 300)
    assert scripted.received == ids
    assert len(scripted.batches) > 1
    assert scripted.streams == 1


@pytest.mark.parametrize("count", [1, 3])
def test_an_unavailable_gateway_is_retried(scripted: ScriptedGateway, make: MakeRecorder, count: int) -> None:
    def at_start(stream: int, headers: dict[str, str]) -> None:
        if stream < 3:
            raise Refuse(UNAVAILABLE)

    scripted.at_start = at_start
    ids = make(scripted.address).batch_record([NewEvent("search", "submit")] * count)
    assert set(scripted.received) == set(ids)
    assert scripted.streams == 3


def test_acknowledged_events_are_not_sent_again_after_a_failure(scripted: ScriptedGateway, make: MakeRecorder) -> None:
    def script(batch: Batch) -> pb.RecordEventsResponse:
        if batch.stream == 1:
            if batch.number == 2:
                raise Refuse(UNAVAILABLE)
            return pb.RecordEventsResponse(succeeded_events=batch.ids)
        return acknowledge(batch)

    scripted.script = script
    recorder = make(scripted.address, chunk_bytes=64 * 1024)
    text = EventParameters(metadata={f"key-{'x' * 100}-{n}": n for n in range(10)})
    recorder.batch_record([NewEvent("search", "submit", text)] * 100)
    first = set(scripted.batches[0].ids)
    again = [each for batch in scripted.batches if batch.stream == 2 for each in batch.ids]
    assert first
    assert not first & set(again)


@pytest.mark.parametrize("count", [1, 3])
def test_the_deadline_ends_a_call_and_the_error_has_the_count(
    scripted: ScriptedGateway, make: MakeRecorder, count: int
) -> None:
    def away(stream: int, headers: dict[str, str]) -> None:
        raise Refuse(UNAVAILABLE, f"the token {TOKEN} is fine, the sink is not")

    scripted.at_start = away
    started = time.monotonic()
    with pytest.raises(NotRecordedError) as caught:
        make(scripted.address, deadline=0.5).batch_record([NewEvent("search", "submit", SECRET)] * count)
    assert time.monotonic() - started < 5
    assert (caught.value.recorded, caught.value.rejected) == (0, {})
    assert str(caught.value) == (
        f"{count} of {count} events were not recorded: UNAVAILABLE: the token *** is fine, the sink is not"
    )
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("count", [1, 2])
def test_a_gateway_that_never_responds_costs_the_deadline(
    scripted: ScriptedGateway, make: MakeRecorder, count: int
) -> None:
    def hang(batch: Batch) -> None:
        time.sleep(1)

    scripted.script = hang
    with pytest.raises(NotRecordedError, match="DEADLINE_EXCEEDED"):
        make(scripted.address, deadline=0.3).batch_record([NewEvent("search", "submit")] * count)


@pytest.mark.parametrize("count", [1, 3])
def test_rejected_events_are_reported_with_the_reason(
    scripted: ScriptedGateway, make: MakeRecorder, count: int
) -> None:
    def script(batch: Batch) -> pb.RecordEventsResponse:
        if count == 1:
            raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "event: no good")
        bad = pb.RejectedEvent(event_id=batch.ids[1], reason="no good")
        return pb.RecordEventsResponse(succeeded_events=[batch.ids[0], batch.ids[2]], rejected_events=[bad])

    scripted.script = script
    with pytest.raises(NotRecordedError, match="no good") as caught:
        make(scripted.address).batch_record([NewEvent("search", "submit")] * count)
    assert (caught.value.total, caught.value.recorded, len(caught.value.rejected)) == (count, count - 1, 1)
    assert scripted.streams == 1
    for copied in (copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert (str(copied), copied.rejected) == (str(caught.value), caught.value.rejected)


def test_events_without_acknowledgement_are_reported(scripted: ScriptedGateway, make: MakeRecorder) -> None:
    scripted.script = lambda batch: pb.RecordEventsResponse(succeeded_events=batch.ids[:1])
    with pytest.raises(NotRecordedError, match="1 of 2 .* the gateway did not acknowledge them") as caught:
        make(scripted.address).batch_record([NewEvent("search", "submit")] * 2)
    assert (caught.value.recorded, caught.value.rejected) == (1, {})


def test_a_wrong_token_is_reported_and_not_shown(gateway: RunningGateway, make: MakeRecorder) -> None:
    recorder = make(f"https://{gateway.address}", bearer_token="WRONG-TOKEN")
    with pytest.raises(NotRecordedError) as caught:
        recorder.record("search", "submit")
    assert "PERMISSION_DENIED" in str(caught.value)
    assert "WRONG-TOKEN" not in str(caught.value)
    assert gateway.published_ids() == []


def test_events_that_must_not_leave_are_not_sent(scripted: ScriptedGateway, make: MakeRecorder) -> None:
    with capture_logs() as logs:
        quiet = make(scripted.address, do_not_track="1")
        assert quiet.record("search", "submit")
    assert [line["event"] for line in logs] == ["nothing is recorded at the gateway"]
    narrow = make(scripted.address, export_mode="shop")
    ids = narrow.batch_record([NewEvent("search", "submit"), NewEvent("shop.order", "submit")])
    assert scripted.received == ids[1:]


def test_an_event_that_cannot_be_redacted_is_not_sent(
    scripted: ScriptedGateway, make: MakeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = make(scripted.address)

    def fails(*_: Any) -> None:
        raise RedactionError("still set")

    monkeypatch.setattr(Redactor, "redact", fails)
    with pytest.raises(RedactionError):
        recorder.batch_record([NewEvent("search", "submit")] * 2)
    assert scripted.received == []


def test_the_same_validation_and_no_transaction_to_join(
    scripted: ScriptedGateway, make: MakeRecorder, tmp_path: Path
) -> None:
    recorder = make(scripted.address)
    with pytest.raises(InvalidNameError):
        recorder.batch_record([NewEvent.with_run_time_names("Bad Name", "submit")])
    given: Any = object()
    with pytest.raises(InvalidConnectionError, match="cannot be used by a recorder at a gateway"):
        recorder.record("search", "submit", connection=given)
    assert scripted.streams == 0


def test_the_recorder_variants_work_with_it(gateway: RunningGateway, make: MakeRecorder) -> None:
    best_effort = BestEffortRecorder(make(f"https://{gateway.address}"))
    first = best_effort.record("search", "first")
    away = BestEffortRecorder(make("https://127.0.0.1:1", deadline=0.2))
    with capture_logs() as logs:
        assert away.record("search", "never") is None
    assert [(line["event"], line["error"]) for line in logs] == [("event not recorded", "NotRecordedError")]

    async def record() -> str:
        recorder = AsyncRecorder(make(f"https://{gateway.address}"))
        event_id = await recorder.record("search", "second")
        await recorder.close()
        return event_id

    second = asyncio.run(record())
    assert gateway.published_ids() == [first, second]


@pytest.mark.parametrize("missing", ["export_addr", "service_id"])
def test_settings_must_name_a_gateway_and_a_service(missing: str) -> None:
    given = {"export_addr": "https://h", "service_id": "s", "bearer_token": TOKEN, missing: None}
    if missing == "service_id":
        given |= {"instance_id": "i", "bearer_token": None}
    with pytest.raises(InvalidSettingsError, match="a managed service needs it to record directly at a gateway"):
        GatewayStore.from_settings(ExporterSettings.load(**given))


def record_in_child(recorder: Recorder, results: Any) -> None:
    results.put(recorder.record("search", "child"))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_its_own_channel(gateway: RunningGateway, make: MakeRecorder) -> None:
    recorder = make(f"https://{gateway.address}")
    recorder.record("search", "parent")
    context: Any = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=record_in_child, args=(recorder, results))
    child.start()
    event_id = results.get(timeout=30)
    child.join(30)
    recorder.record("search", "parent")
    assert event_id in gateway.published_ids()
    assert len(gateway.published_ids()) == 3
    results.close()
    results.join_thread()


def test_buffered_events_wait_for_an_unavailable_gateway(scripted: ScriptedGateway, make: MakeRecorder) -> None:
    away = True

    def at_start(stream: int, headers: dict[str, str]) -> None:
        if away:
            raise Refuse(UNAVAILABLE)

    scripted.at_start = at_start
    buffered = BufferedRecorder(make(scripted.address, deadline=0.2), flush_interval=timedelta(milliseconds=10))
    ids = buffered.batch_record([NewEvent("search", "submit")] * 5)
    with capture_logs() as logs:
        assert not buffered.flush(timedelta(seconds=0.3))
        away = False
        assert buffered.flush(timedelta(seconds=20))
    assert scripted.received == ids
    assert {line["event"] for line in logs} == {"events wait to be stored"}
    buffered.close()


def test_a_check_opens_a_stream_and_sends_nothing(
    gateway: RunningGateway, scripted: ScriptedGateway, make: MakeRecorder
) -> None:
    make(f"https://{gateway.address}").check()
    make(scripted.address).check()
    assert scripted.received == []
    with pytest.raises(GatewayError, match="PERMISSION_DENIED|UNAUTHENTICATED"):
        make(f"https://{gateway.address}", bearer_token="another").check()
    make("https://127.0.0.1:1", export_mode="none").check()  # nothing would be sent there
    with pytest.raises(GatewayError, match="UNAVAILABLE|DEADLINE_EXCEEDED"):
        make("https://127.0.0.1:1", deadline=1).check()
