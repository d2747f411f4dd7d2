"""A full disk: typed errors, no acknowledgement without storage, and recovery when there is space again."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassOutcome, PassSettings
from recorder import BestEffortRecorder, Recorder, RecorderError
from support.databases import ManualClock
from support.gateway_client import event, send
from support.gateway_server import running_gateway
from support.recorders import EXPORT_ALL, logged, make_recorder, queued
from telemetry import EventParameters, NewEvent, Redactor
from telemetry_gateway import read_rejects
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.migrations import upgrade_database
from telemetry_testing import scripted_gateway

SIZE = 3 * 1024 * 1024
PRIVATE = EventParameters(private_metadata={"text": "x" * 4_000})


class Disk:
    """A small separate file system.

    Attributes:
        folder: The mount point.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Fill the disk except for a number of bytes."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 4_096):
                pass
        with self._ballast.open("rb+") as file:
            file.truncate(max(0, self._ballast.stat().st_size - leave))

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system; RLIMIT_FSIZE and max_page_count are tested elsewhere")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here; RLIMIT_FSIZE and max_page_count are tested elsewhere")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def database(disk: Disk) -> Iterator[Database]:
    opened = Database(create_database_engine(f"sqlite:///{disk.folder / 'telemetry.db'}"))
    upgrade_database(opened.engine)
    yield opened
    opened.close()


def record_until_full(recorder: Recorder) -> tuple[list[str], RecorderError]:
    stored: list[str] = []
    for number in range(10_000):
        batch = [NewEvent("search", "submit", PRIVATE)] * (1 + number % 3)
        try:
            stored += recorder.batch_record(batch)
        except RecorderError as error:
            return stored, error
    raise AssertionError("the disk is never full")


def test_a_recorder_on_a_full_disk(disk: Disk, database: Database) -> None:
    recorder = make_recorder(database)
    promised = recorder.batch_record([NewEvent("search", "submit")] * 3)
    disk.fill(leave=200_000)
    for _ in range(3):  # full, room, full again
        stored, error = record_until_full(recorder)
        assert error.affects_every_event
        assert "full" in str(error) or "reading or writing the database file failed" in str(error)
        assert BestEffortRecorder(recorder).batch_record([NewEvent("search", "submit", PRIVATE)] * 50) is None
        promised += stored
        disk.make_room()
        promised += recorder.batch_record([NewEvent("search", "submit", PRIVATE)] * 3)
        assert set(queued(database)) == set(promised)
        assert len(logged(database)) == len(promised)
        disk.fill(leave=100_000)
    disk.make_room()
    recorder.close()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_marks_of_an_exporter_on_a_full_disk(disk: Disk, database: Database) -> None:
    """Acknowledged events that could not be marked are sent again, and the gateway recognizes them as duplicates."""
    ids = make_recorder(database).batch_record([NewEvent("search", "submit")] * 300)
    clock = ManualClock()
    queue = ExportQueue(database, clock=clock)
    outcomes = []
    with scripted_gateway() as gateway:
        client = GatewayClient.from_settings(ExporterSettings.load(export_addr=gateway.address, instance_id="i"))
        acknowledge = gateway.script
        exporter = Exporter(
            queue, client, load_redactor=Redactor, load_policy=lambda: EXPORT_ALL,
            settings=PassSettings(chunk_bytes=2_000),
            metrics=ExportMetrics(CollectorRegistry()),
        )  # fmt: skip

        def fill_then_acknowledge(batch: Any) -> Any:
            if len(gateway.batches) == 3:
                disk.fill()
                clock.advance(minutes=10)  # ends the lease, so that the mark is not retried
            return acknowledge(batch)

        gateway.script = fill_then_acknowledge
        outcomes.append(exporter.run_pass().outcome)
        outcomes.append(exporter.run_pass().outcome)
        assert queue.counts().exported < 300
        disk.make_room()
        gateway.script = acknowledge
        clock.advance(minutes=10)
        outcomes.append(exporter.run_pass().outcome)
        client.close()
        received = list(gateway.received)
    assert outcomes[1:] == [PassOutcome.DATABASE, PassOutcome.DRAINED]
    assert queue.counts().exported == 300
    assert set(received) == set(ids)


def test_sink_window_and_rejects_of_a_gateway_on_a_full_disk(disk: Disk) -> None:
    promised: list[str] = []
    refused = 0
    with running_gateway(disk.folder) as gateway, gateway.channel() as channel:
        for _ in range(3):
            disk.fill(leave=150_000)
            for _number in range(2_000):
                some = [event() for _ in range(5)]
                bad = event()
                bad.feature = "BAD"
                answer = send(channel, [*some, bad])
                if answer.code is not grpc.StatusCode.OK:
                    assert answer.code is grpc.StatusCode.UNAVAILABLE
                    assert answer.responses == []
                    refused += 1
                    break
                promised += answer.succeeded
            else:
                raise AssertionError("the disk is never full")
            disk.make_room()
            answer = send(channel, some)  # the exporter sends them again
            assert answer.code is grpc.StatusCode.OK, answer
            promised += answer.succeeded
        published = gateway.published_ids()
    assert refused == 3
    assert len(published) == len(set(published))
    rejected = {reject.event.id for reject in read_rejects(disk.folder / "rejects.jsonl")}
    assert set(promised) <= set(published) | rejected
    assert all(json.loads(line) for line in (disk.folder / "published.jsonl").read_bytes().splitlines())
    with running_gateway(disk.folder) as again, again.channel() as channel:  # and after a restart
        assert send(channel, [event()]).code is grpc.StatusCode.OK
