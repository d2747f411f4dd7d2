"""A pipeline of real processes that are killed and restarted, and a ledger of the recorded events.

Recording processes write the id of an event to their ledger *after* `record` has returned, so each id in it must not be
lost. At the end, ledger, tables and sink are compared, and everything except `event_logs` is searched for private data.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import orjson

from support.crash_at import POINTS
from support.programs import PROGRAM
from support.recording_process import SECRET
from telemetry_gateway.sinks.rotation import closed_files, open_closed
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue

_HERE = Path(__file__).parent
_LONGEST_WAIT = 300.0
_READY = {"exporter": b"export jobs started", "gateway": b"listening on"}


@dataclass(frozen=True)
class Findings:
    """The result of a run.

    Attributes:
        promised: The ids for which `record` has returned.
        lost: The promised ids that are not in the sink.
        duplicated: The ids that are in the sink more than once.
        unequal: The difference between the numbers of events in both tables.
        leaked: The files and tables that contain the secret and must not.
        kills: The number of kills of each kind of process, or at each named point.
    """

    promised: int
    lost: set[str]
    duplicated: set[str]
    unequal: int
    leaked: set[str]
    kills: Mapping[str, int]

    def __str__(self) -> str:
        done = ", ".join(f"{times} {name}" for name, times in sorted(self.kills.items()))
        return (
            f"killed: {done}; {self.promised} promised, {len(self.lost)} lost, {len(self.duplicated)} duplicated, "
            f"private in {len(self.leaked)} places"
        )

    @property
    def faults(self) -> tuple[set[str], set[str], int, set[str]]:
        """All faults; each is empty or 0 if every promise was kept."""
        return self.lost, self.duplicated, self.unequal, self.leaked


@dataclass
class Pipeline:
    """Recorders, exporters and a gateway as processes, which are restarted after they are killed.

    Attributes:
        folder: The folder of all files.
        url: The URL of the database.
        seed: The seed of the random generator.
        port: The port of the gateway.
        outage: Kills and restarts the database; for the victim `database`.
        rotate_bytes: The size at which the sink starts a new file.
    """

    folder: Path
    url: str
    seed: int
    port: int
    recorders: int = 2
    exporters: int = 2
    outage: Callable[[random.Random], None] | None = None
    rotate_bytes: int = 2_000_000
    kills: Counter[str] = field(default_factory=Counter)
    leaked: set[str] = field(default_factory=set)
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    log_sizes: dict[str, int] = field(default_factory=dict)
    begun_at: dict[str, int] = field(default_factory=dict)

    def run(self, kills: int, victims: tuple[str, ...]) -> Findings:
        """Kill processes at random moments, drain the queue, and compare."""
        chance = random.Random(self.seed)
        return self._do(lambda: self._kill_at_random(kills, victims, chance))

    def run_to_points(self, rounds: int) -> Findings:
        """Let one process of each kind kill itself at each named point, `rounds` times, and compare."""
        chance = random.Random(self.seed)
        return self._do(lambda: self._kill_at_points(rounds, chance))

    def _do(self, kill: Callable[[], None]) -> Findings:
        try:
            for name in self._commands():
                self._start(name)
            until(lambda: all(self._ledger_sizes()), _LONGEST_WAIT, lambda: "a recorder does not begin")
            kill()
            self._drain()
        finally:
            for process in self.running.values():
                process.kill()
                process.wait()
        return self._compare()

    def _kill_at_random(self, kills: int, victims: tuple[str, ...], chance: random.Random) -> None:
        for _ in range(kills):
            name = chance.choice([each for each in (*self.running, "database") if _kind(each) in victims])
            if name == "database":
                self._kill_database(chance)
                continue
            # First wait until it works, however slow the machine is; then kill it at a random moment.
            until(partial(self._is_at_work, name), _LONGEST_WAIT, partial("{} does not begin".format, name))
            time.sleep(chance.uniform(0, 0.4))
            self.running[name].kill()
            self.running[name].wait()
            self.kills[_kind(name)] += 1
            self._start(name)

    def _kill_database(self, chance: random.Random) -> None:
        """Kill the database while processes use it, and wait until each recorder has recorded events again."""
        assert self.outage is not None
        time.sleep(chance.uniform(0, 0.4))
        self.outage(chance)
        self.kills["database"] += 1
        before = self._ledger_sizes()
        until(
            lambda: all(now > then for now, then in zip(self._ledger_sizes(), before, strict=True)),
            _LONGEST_WAIT,
            lambda: "a recorder does not find the database again",
        )
        assert [name for name, process in self.running.items() if process.poll() is not None] == []

    def _ledger_sizes(self) -> list[int]:
        return [self._ledger_size(f"recorder{number}") for number in range(self.recorders)]

    def _ledger_size(self, recorder: str) -> int:
        file = self.folder / recorder.replace("recorder", "ledger")
        return file.stat().st_size if file.exists() else 0

    def _kill_at_points(self, rounds: int, chance: random.Random) -> None:
        plans = {
            f"{kind}0": deque(chance.sample(points * rounds, len(points) * rounds)) for kind, points in POINTS.items()
        }
        reaching: dict[str, str] = {}
        for name in plans:
            self.running[name].kill()
            self.running[name].wait()
        while plans or reaching:
            for name in [each for each in plans if each not in reaching]:
                reaching[name] = plans[name].popleft()
                if not plans[name]:
                    del plans[name]
                self._start(name, crash=(reaching[name], chance.randint(1, 3)))
            for name, point in list(reaching.items()):
                code = self.running[name].poll()
                assert time.monotonic() < self.started[name] + _LONGEST_WAIT, f"{name} never reached {point}"
                if code is None:
                    continue
                assert code == -signal.SIGKILL, f"{name} ended with {code} before it reached {point}"
                self.kills[point] += 1
                del reaching[name]
                if name not in plans:
                    self._start(name)
            time.sleep(0.02)

    def _commands(self) -> dict[str, list[str]]:
        recording = [str(_HERE / "recording_process.py"), self.url]
        return {
            **{f"recorder{n}": [*recording, str(self.folder / f"ledger{n}")] for n in range(self.recorders)},
            **{f"exporter{n}": [*PROGRAM[1:], "export", "run"] for n in range(self.exporters)},
            "gateway0": [*PROGRAM[1:], "gateway", "serve", "--listen", f"127.0.0.1:{self.port}"],
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
            # Deleted rows are counted, too.
            "TELEMETRY_GATEWAY_EXPORTER_EXPORTED_EVENTS_RETENTION": "0",
            "TELEMETRY_GATEWAY_EXPORTER_QUEUE_CLEANUP_INTERVAL": "300ms",
            # Short, so that the leases of a killed exporter end during the test.
            "TELEMETRY_GATEWAY_EXPORTER_RPC_DEADLINE": "1s",
            "TELEMETRY_GATEWAY_EXPORTER_SHUTDOWN_TIMEOUT": "500ms",
            "TELEMETRY_GATEWAY_EXPORTER_LEASE": "2s",
            "TELEMETRY_GATEWAY_SINK_FILE": str(self.folder / "published.jsonl"),
            "TELEMETRY_GATEWAY_SINK_ROTATE_BYTES": str(self.rotate_bytes),
            "TELEMETRY_GATEWAY_SINK_COMPRESS": "true",
            "TELEMETRY_GATEWAY_DEDUPLICATION_FILE": str(self.folder / "window.db"),
            "TELEMETRY_GATEWAY_REJECTS_FILE": str(self.folder / "rejects.jsonl"),
        }

    def _start(self, name: str, crash: tuple[str, int] | None = None) -> None:
        crashing = [] if crash is None else [str(_HERE / "crash_at.py"), crash[0], str(crash[1])]
        environment = self._environment()
        environment["PYTHONPATH"] = os.pathsep.join([str(_HERE.parent), environment.get("PYTHONPATH", "")])
        with (self.folder / f"{name}.log").open("ab") as log:
            self.log_sizes[name] = log.tell()
            self.started[name] = time.monotonic()
            self.begun_at[name] = self._ledger_size(name)
            self.running[name] = subprocess.Popen(
                [sys.executable, *crashing, *self._commands()[name]],
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def _drain(self) -> None:
        for name in [name for name in self.running if name.startswith("recorder")]:
            process = self.running.pop(name)
            process.kill()
            process.wait()
        database = Database(create_database_engine(self.url))
        self._search_queue(database)  # now, because exported rows are deleted soon
        queue = ExportQueue(database)
        until(lambda: queue.counts().pending == 0, _LONGEST_WAIT, lambda: f"{queue.counts()}")
        database.close()
        for name in list(self.running):  # the exporters, then the gateway
            process = self.running.pop(name)
            # A process that is still importing modules does not handle signals yet.
            until(partial(self._is_ready, name), _LONGEST_WAIT, partial("{} does not start".format, name))
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
            assert code == 0, f"{name} ended with {code}"

    def _is_at_work(self, name: str) -> bool:
        if _kind(name) == "recorder":
            return self._ledger_size(name) > self.begun_at[name]
        return self._is_ready(name)

    def _is_ready(self, name: str) -> bool:
        return _READY[_kind(name)] in (self.folder / f"{name}.log").read_bytes()[self.log_sizes[name] :]

    def _compare(self) -> Findings:
        promised = {
            line
            for file in self.folder.glob("ledger*")
            for line in file.read_text().splitlines()
            if len(line) == 36  # a kill can leave an incomplete last line, which does not count
        }
        published: Counter[str] = Counter()
        sink = self.folder / "published.jsonl"
        for file in (*closed_files(sink), sink):
            with open_closed(file) as lines:
                for line in lines:
                    published[orjson.loads(line)["message"]["event"]["id"]] += 1
                    if SECRET.encode() in line:
                        self.leaked.add("the sink")
        for file in (self.folder / "rejects.jsonl", *self.folder.glob("window.db*"), *self.folder.glob("*.log")):
            if file.exists() and SECRET.encode() in file.read_bytes():
                self.leaked.add(file.name)
        database = Database(create_database_engine(self.url))
        counts = ExportQueue(database).counts()
        logged = database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM event_logs").scalar_one())
        self._search_queue(database)
        database.close()
        return Findings(
            promised=len(promised),
            lost=promised - set(published),
            duplicated={event_id for event_id, times in published.items() if times > 1},
            unequal=logged - counts.recorded,
            leaked=self.leaked,
            kills=dict(self.kills),
        )

    def _search_queue(self, database: Database) -> None:
        rows = database.read(lambda c: c.exec_driver_sql("SELECT * FROM telemetry_events_export_queue").all())
        texts = (
            bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
            for row in rows
            for value in row
        )
        if any(SECRET.encode() in text for text in texts):
            self.leaked.add("the queue")


def _kind(name: str) -> str:
    return name.rstrip("0123456789")


def until(condition: Callable[[], bool], seconds: float, describe: Callable[[], str]) -> None:
    """Wait for a condition; raise `AssertionError` with the description after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, describe()
        time.sleep(0.05)
