"""The gateway with a durable `jsonl` sink, compared with a server that only parses and acks, and with raw writes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import Comparison, interleave, seconds
from stores import Stores

from paths.drain import HERE, ack_server

GOAL = 0.5


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    events, rounds = (100_000, 5) if full else (20_000, 3)
    folder = stores.new_folder("gateway")
    with gateway(folder) as (address, process), ack_server() as acknowledging:
        for streams in (1, 8, 64):
            rate = _rate(streams, events)
            size = load(acknowledging, streams, events)["bytes"]
            cases: dict[str, Any] = {
                "ours": lambda rate=rate: rate(address),
                "floor": lambda rate=rate: rate(acknowledging),
                "raw, fsynced": lambda size=size: raw(folder / "raw", size, events),
            }
            figures = interleave(cases, rounds)
            notes = [f"memory {memory(process):.0f} MB"]
            # The smaller of the two is the floor.
            if figures["raw, fsynced"] < figures["floor"]:
                figures["floor"], figures["parse and ack"] = figures.pop("raw, fsynced"), figures["floor"]
            yield Comparison(
                f"gateway, {streams} streams", "events/s", figures, GOAL, higher_is_better=True, notes=notes
            )
        if full:
            yield from hour(address, process)


def _rate(streams: int, events: int) -> Any:
    return lambda address: events / load(address, streams, events)["seconds"]


def hour(address: str, process: Any) -> Iterator[Comparison]:
    """Return the events of an hour: 3,600,000, a thousand per second."""
    after: list[float] = []
    for _ in range(36):
        load(address, 8, 100_000)
        after.append(memory(process))
    figures = {"ours": after[-1], "floor": after[5]}
    yield Comparison("gateway, memory after 3,600,000 events against after 600,000", "MB", figures, 1.1)


def load(address: str, streams: int, events: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(HERE / "gateway_load.py"), address.removeprefix("http://"), str(streams), str(events)],
        stdout=subprocess.PIPE,
        check=True,
    )
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert facts["acked"] == events // streams * streams, facts
    return facts


def raw(file: Path, size: float, events: int) -> float:
    """Write the same bytes in blocks of the size of a message, with a sync after each."""
    writes = max(1, events // 500)
    chunk = os.urandom(int(size) // writes)

    def write() -> None:
        with file.open("wb", buffering=0) as opened:
            for _ in range(writes):
                opened.write(chunk)
                os.fsync(opened.fileno())

    return events / seconds(write)


@contextmanager
def gateway(folder: Path) -> Iterator[tuple[str, Any]]:
    environment = {
        **os.environ,
        "TELEMETRY_GATEWAY_SINK_FILE": str(folder / "published.jsonl"),
        "TELEMETRY_GATEWAY_DEDUPLICATION_FILE": str(folder / "window.db"),
        "TELEMETRY_GATEWAY_REJECTS_FILE": str(folder / "rejects.jsonl"),
    }
    command = [sys.executable, "-m", "telemetry_cli.main", "gateway", "serve", "--listen", "127.0.0.1:0"]
    log = (folder / "log").open("w+")
    process = subprocess.Popen(command, env=environment, stderr=log)
    try:
        address = None
        while address is None:
            found = re.search(r"listening on (\S+)", (folder / "log").read_text())
            address = found and found[1]
        yield address, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        log.close()


def memory(process: Any) -> float:
    """Return the current memory of a process in megabytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(found.split()[1]) / 1024
