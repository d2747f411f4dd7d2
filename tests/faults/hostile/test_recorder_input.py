"""Hostile calls: each is stored or rejected with a reason, equally on both databases, and exported if stored."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassOutcome, PassSettings
from recorder import DuplicateEventError, Recorder, RecorderError
from recorder.tee import TeeStore
from support.databases import ManualClock
from support.gateway_server import RunningGateway, running_gateway
from support.hostile import NOW, SECRET, HostileCalls
from support.recorders import EXPORT_ALL, logged, queued
from telemetry import EventParameters, InvalidInputError, NewEvent, Redactor
from telemetry.event import new_event_id
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.migrations import upgrade_database
from telemetry_store.queue_reading import QueueReading

EVENTS = int(os.environ.get("TELEMETRY_TEST_HOSTILE", "300"))
"""The number of generated events; `make faults` sets more."""
ROUND = 1_000
FIRST_PARTY = Redactor(first_party=True)  # strips nothing, so that all values reach the gateway

Verdict = tuple[str, str]


class Instance:
    """A recorder and an exporter on one database."""

    def __init__(self, name: str, url: str, gateway: RunningGateway) -> None:
        self.database = Database(create_database_engine(url))
        store = TeeStore(self.database, policy=EXPORT_ALL, redactor=FIRST_PARTY)
        self.recorder = Recorder(store, service_version="1.0", clock=lambda: NOW)
        self.clock = ManualClock()
        self.queue = ExportQueue(self.database, clock=self.clock)
        settings = ExporterSettings.load(export_addr=f"http://{gateway.address}", instance_id=name)
        self._client = GatewayClient.from_settings(settings)
        self._exporter = Exporter(
            self.queue, self._client, load_redactor=lambda: FIRST_PARTY, load_policy=lambda: EXPORT_ALL,
            settings=PassSettings(),
            metrics=ExportMetrics(CollectorRegistry()),
        )  # fmt: skip

    def verdict(self, *events: NewEvent) -> Verdict:
        """Record events, and return that they were stored, or the class and text of the error."""
        try:
            self.recorder.batch_record(events)
        except (InvalidInputError, DuplicateEventError) as error:
            assert SECRET not in repr(error) + str(error)  # noqa: PT017 - the rule for every error
            return type(error).__name__, "" if isinstance(error, RecorderError) else str(error)
        return "stored", ""

    def drain(self) -> None:
        for _ in range(8):
            report = self._exporter.run_pass()
            assert report.outcome is PassOutcome.DRAINED, report
            if not self.queue.counts().pending:
                return
            self.clock.advance(hours=1)
        raise AssertionError(self.queue.counts())

    def payloads(self) -> dict[str, bytes]:
        return {
            event_id: event.SerializeToString(deterministic=True) for event_id, event in queued(self.database).items()
        }

    def rows(self) -> list[dict[str, Any]]:
        return [{name: _plain(value) for name, value in row.items() if name != "id"} for row in logged(self.database)]

    def empty(self) -> None:
        with self.database.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM event_logs")
            connection.exec_driver_sql("DELETE FROM telemetry_events_export_queue")

    def close(self) -> None:
        self._client.close()
        self.recorder.close()


def _plain(value: Any) -> Any:
    """Return a column's value in a form that both databases share: jsonb returns 1e300 as an integer."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path) as running:
        yield running


@pytest.fixture
def instances(postgres: Any, gateway: RunningGateway, tmp_path: Path) -> Iterator[list[Instance]]:
    sqlite = f"sqlite:///{tmp_path / 'telemetry.db'}"
    engine = create_database_engine(sqlite)
    upgrade_database(engine)
    engine.dispose()
    with postgres.fresh_database(migrated=True) as postgresql:
        made = [Instance("sqlite", sqlite, gateway), Instance("postgresql", postgresql, gateway)]
        yield made
        for each in made:
            each.close()


@pytest.mark.timeout(120 + EVENTS // 20)
def test_generated_calls(instances: list[Instance], gateway: RunningGateway) -> None:
    verdicts: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    sink = Sink(gateway)
    for start in range(0, EVENTS, ROUND):
        calls = HostileCalls(start)
        for number in range(start, min(start + ROUND, EVENTS)):
            # One event is an INSERT; three events are a COPY.
            try:
                events = [calls() for _ in range(3 if number % 10 == 0 else 1)]
            except InvalidInputError as error:
                assert SECRET not in str(error)  # noqa: PT017 - the rule for every error
                verdicts[type(error).__name__] += 1
                continue
            one, other = (instance.verdict(*events) for instance in instances)
            assert one == other, events
            verdicts[one[0]] += 1
        sqlite, postgresql = instances
        assert sqlite.payloads() == postgresql.payloads()
        assert sqlite.rows() == postgresql.rows()
        for instance in instances:
            _drain(instance, sink, dead)
    print(f"{EVENTS} calls: {dict(verdicts)}; dead letters: {dict(dead)}")
    assert verdicts["stored"] > EVENTS / 5
    assert len(verdicts) > 5


class Sink:
    """The events that the gateway has published since the last call."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._file = gateway.sink_file
        self._read = 0

    def new_ids(self) -> list[str]:
        with self._file.open("rb") as file:
            file.seek(self._read)
            lines = file.readlines()
            self._read = file.tell()
        return [json.loads(line)["message"]["event"]["id"] for line in lines]


def _drain(instance: Instance, sink: Sink, dead: Counter[str]) -> None:
    recorded = sorted(instance.payloads())
    instance.drain()
    letters = QueueReading(instance.database).dead_letters(1_000_000)
    assert all(letter.reason for letter in letters)
    dead.update(letter.reason for letter in letters)
    assert sorted([*sink.new_ids(), *(letter.id for letter in letters)]) == recorded
    instance.empty()


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_an_event_of_exactly_the_largest_size(instances: list[Instance], gateway: RunningGateway, over: int) -> None:
    event_id = new_event_id()

    def event(length: int) -> NewEvent:
        return NewEvent("search", "submit", EventParameters(private_metadata={"text": "x" * length}), event_id, NOW)

    limit = 64 * 1024
    (built,) = instances[0].recorder.build([event(60_000)])
    fitting = 60_000 + limit - built.event.ByteSize() + over
    verdicts = [instance.verdict(event(fitting)) for instance in instances]
    if over > 0:
        assert set(verdicts) == {("EventTooLargeError", f"event: is {limit + 1} bytes serialized, more than {limit}")}
        return
    assert set(verdicts) == {("stored", "")}
    for instance in instances:
        instance.drain()
    assert [len(line["message"]["event"]["parameters"]["privateMetadata"]["text"]) for line in gateway.published()] == [
        fitting
    ] * 2


def test_the_comparison_sees_a_difference(instances: list[Instance]) -> None:
    sqlite, postgresql = instances
    event = NewEvent("search", "submit", EventParameters(private_metadata={"a": 1}), new_event_id(), NOW)
    assert sqlite.verdict(event) == postgresql.verdict(event)
    assert sqlite.rows() == postgresql.rows()
    with postgresql.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE event_logs SET argument = %s", (json.dumps({"a": 2}),))
        connection.exec_driver_sql("UPDATE telemetry_events_export_queue SET payload_pb = ''")
    assert sqlite.rows() != postgresql.rows()
    assert sqlite.payloads() != postgresql.payloads()
