"""A whole pipeline of processes that are killed at any moment, and the ledger that it is held against.

Recording processes write an event's id to their ledger *after* `record` has returned, so whatever stands there
was promised. In the end ledger, tables and sink are compared.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recorder.database import Database, create_database_engine
from recorder.export_queue import ExportQueue
from support.programs import PROGRAM

SECRET = "CANARY-LEDGER"
_STARTING_SECONDS = 1.0

RECORDING = f"""
import os, sys
from recorder import Recorder
from telemetry import EventParameters
url, ledger = sys.argv[1:]
recorder = Recorder.from_url(url, service_version="1")
file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
parameters = EventParameters(metadata={{"n": 1}}, private_metadata={{"query": "{SECRET}"}})
while True:
    if recorder.record("search", "submit", parameters):
        event_id = recorder.record("search.results", "submit", parameters)
        os.write(file, event_id.encode() + b"\\n")
"""


@dataclass
class Findings:
    """What became of the events.

    Attributes:
        promised: Ids whose `record` had returned.
        lost: Of these, the ids that are not in the sink.
        duplicated: Ids that stand in the sink more than once.
        unequal: How many more events one of the two tables has than the other.
        leaked: Whether the secret is in the sink.
        kills: How often each process was killed.
    """

    promised: int
    lost: set[str]
    duplicated: set[str]
    unequal: int
    leaked: bool
    kills: Mapping[str, int]


@dataclass
class Pipeline:
    """Recorders, an exporter and a gateway, each a process that is started again when it was killed."""

    folder: Path
    url: str
    seed: int
    port: int
    recorders: int = 2
    kills: Counter[str] = field(default_factory=Counter)
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)

    def run(self, kills: int, victims: tuple[str, ...]) -> Findings:
        """Kills processes at random moments, lets the rest drain, and compares."""
        chance = random.Random(self.seed)
        for name in self._commands():
            self._start(name)
        try:
            for _ in range(kills):
                name = chance.choice([each for each in self.running if each.rstrip("0123456789") in victims])
                # Old enough to be at work; then at any moment of it.
                time.sleep(max(0.0, self.started[name] + _STARTING_SECONDS - time.monotonic()))
                time.sleep(chance.uniform(0, 0.4))
                self.running[name].kill()
                self.running[name].wait()
                self.kills[name.rstrip("0123456789")] += 1
                self._start(name)
            self._drain()
        finally:
            for process in self.running.values():
                process.kill()
                process.wait()
        return self._compare()

    def _commands(self) -> dict[str, list[str]]:
        recording = {
            f"recorder{number}": [sys.executable, "-c", RECORDING, self.url, str(self.folder / f"ledger{number}")]
            for number in range(self.recorders)
        }
        return {
            **recording,
            "exporter": [*PROGRAM, "export", "run"],
            "gateway": [*PROGRAM, "gateway", "serve", "--listen", f"127.0.0.1:{self.port}"],
        }

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")}
        return {
            **kept,
            "TELEMETRY_DATABASE_URL": self.url,
            "TELEMETRY_EXPORT_MODE": "all",
            "TELEMETRY_INSTANCE_ID": "ledger",
            "TELEMETRY_GATEWAY_EXPORTER_EXPORT_ADDR": f"http://127.0.0.1:{self.port}",
            "TELEMETRY_GATEWAY_EXPORTER_EXPORT_INTERVAL": "100ms",
            "TELEMETRY_GATEWAY_EXPORTER_EXPORT_BATCH_SIZE": "100",
            # Short, so that the events of a killed exporter come back while the test runs.
            "TELEMETRY_GATEWAY_EXPORTER_RPC_DEADLINE": "1s",
            "TELEMETRY_GATEWAY_EXPORTER_SHUTDOWN_TIMEOUT": "500ms",
            "TELEMETRY_GATEWAY_EXPORTER_LEASE": "2s",
            "TELEMETRY_GATEWAY_SINK_FILE": str(self.folder / "published.jsonl"),
            "TELEMETRY_GATEWAY_DEDUPLICATION_FILE": str(self.folder / "window.db"),
            "TELEMETRY_GATEWAY_REJECTS_FILE": str(self.folder / "rejects.jsonl"),
        }

    def _start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.started[name] = time.monotonic()
            self.running[name] = subprocess.Popen(
                self._commands()[name], env=self._environment(), cwd=self.folder, stdout=log, stderr=log
            )

    def _drain(self) -> None:
        for name in [name for name in self.running if name.startswith("recorder")]:
            process = self.running.pop(name)
            process.kill()
            process.wait()
        database = Database(create_database_engine(self.url))
        queue = ExportQueue(database)
        until(lambda: queue.counts().pending == 0, 60, lambda: f"{queue.counts()}")
        database.close()
        for name in ("exporter", "gateway"):
            process = self.running.pop(name)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0

    def _compare(self) -> Findings:
        promised = {
            line
            for file in self.folder.glob("ledger*")
            for line in file.read_text().splitlines()
            if len(line) == 36  # a kill may tear the last line; what it was to say was not said
        }
        text = (self.folder / "published.jsonl").read_text()
        published = Counter(json.loads(line)["message"]["event"]["id"] for line in text.splitlines())
        database = Database(create_database_engine(self.url))
        counts = ExportQueue(database).counts()
        logged = database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM event_logs").scalar_one())
        database.close()
        return Findings(
            promised=len(promised),
            lost=promised - set(published),
            duplicated={event_id for event_id, times in published.items() if times > 1},
            unequal=logged - counts.recorded,
            leaked=SECRET in text,
            kills=dict(self.kills),
        )


def until(condition: Callable[[], bool], seconds: float, tell: Callable[[], str]) -> None:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, tell()
        time.sleep(0.05)
