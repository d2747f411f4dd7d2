"""Exporters that are stopped by hundreds of signals, or frozen beyond their lease: no event is lost."""

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from support.ledger import Findings, Pipeline, until
from support.ports import free_port
from support.recorders import make_recorder
from telemetry import NewEvent
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue

EXPORTERS = int(os.environ.get("TELEMETRY_TEST_STORM_EXPORTERS", "3"))
EVENTS = int(os.environ.get("TELEMETRY_TEST_STORM_EVENTS", "2000"))
"""The number of events; `make faults` raises it."""
FROZEN_EVENTS = 2_000
LONGEST_STOP = 20.0  # 0.5 s for requests in progress, and time for a slow machine


class SignalledPipeline(Pipeline):
    """A pipeline whose queue is filled before the start, and whose exporters receive signals."""

    longest = 0.0

    def run_signals(self, send: Callable[[], None]) -> Findings:
        """Start the gateway and the exporters, call `send`, drain the queue, and compare."""
        return self._do(send)

    def fill(self, database: Database, count: int) -> None:
        recorder = make_recorder(database)
        with (self.folder / "ledger0").open("a") as ledger:
            for _ in range(0, count, 500):
                ids = recorder.batch_record([NewEvent("search", "submit")] * min(500, count))
                ledger.writelines(f"{event_id}\n" for event_id in ids)

    def terminate(self, name: str) -> None:
        """Send SIGTERM twice to an exporter, which must exit with 0; restart it."""
        until(lambda: self._is_ready(name), 90, lambda: f"{name} does not start")
        process = self.running[name]
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST_STOP) == 0, (self.folder / f"{name}.log").read_text()[-2_000:]
        self.longest = max(self.longest, time.monotonic() - started)
        self.kills["SIGTERM"] += 1
        self._start(name)

    def freeze(self, name: str, seconds: float) -> None:
        self.running[name].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.running[name].send_signal(signal.SIGCONT)
        self.kills["SIGSTOP"] += 1


@pytest.fixture
def pipeline(migrated_url: str, tmp_path: Path) -> SignalledPipeline:
    return SignalledPipeline(tmp_path, migrated_url, EVENTS, free_port(), recorders=0, exporters=EXPORTERS)


@pytest.mark.timeout(240 + EVENTS // 20)
def test_a_storm_of_sigterm(pipeline: SignalledPipeline, database: Database) -> None:
    chance = random.Random(EVENTS)
    queue = ExportQueue(database)
    pipeline.fill(database, EVENTS)

    def storm() -> None:
        # Until the queue is empty and each exporter was stopped at least twice.
        while pipeline.kills["SIGTERM"] < 2 * EXPORTERS or queue.counts().pending:
            name = f"exporter{chance.randrange(EXPORTERS)}"
            time.sleep(chance.uniform(0, 0.3))
            pipeline.terminate(name)

    found = pipeline.run_signals(storm)
    print(found, f"the longest stop took {pipeline.longest:.1f} s")
    assert found.promised >= EVENTS
    assert found.faults == (set(), set(), 0, set())


@pytest.mark.timeout(240 + EVENTS // 20)
def test_exporters_frozen_for_longer_than_their_lease(pipeline: SignalledPipeline, database: Database) -> None:
    """Another exporter sends their rows in the meantime; their late acknowledgements and marks do no harm."""
    chance = random.Random(EVENTS)
    pipeline.fill(database, FROZEN_EVENTS)

    def freeze() -> None:
        for number in range(EXPORTERS):
            until(partial(pipeline._is_ready, f"exporter{number}"), 90, lambda: "does not start")
        for _ in range(2):
            pipeline.fill(database, FROZEN_EVENTS)
            time.sleep(chance.uniform(0, 0.3))
            pipeline.freeze(f"exporter{chance.randrange(EXPORTERS)}", 3.0)  # the lease is 2 s

    found = pipeline.run_signals(freeze)
    print(found)
    assert found.kills == {"SIGSTOP": 2}
    assert found.faults == (set(), set(), 0, set())
