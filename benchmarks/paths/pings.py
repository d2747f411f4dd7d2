"""Durable pings over HTTP, compared with the required rate and with a server that only responds."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import Comparison, interleave
from stores import Stores

from paths.drain import HERE
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

RATE = 2_000  # required pings per second
CONNECTIONS = 64
PACKAGES = """
[[package]]
name = "jvm-agent"
route = "/packages/{language}/{engine}/{arch}/{os}/{number}"
feature = "agent.jvm"
action = "install"
variables = { language = "-", engine = "-", arch = "-", os = "-", number = "-", version = "-", channel = "-" }
approved_by = "benchmarks"
approved_on = 2026-11-02
"""


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    requests, rounds, seconds = (50_000, 5, 60) if full else (10_000, 3, 10)
    folder = stores.new_folder("pings")
    with server([str(HERE / "bare_app.py")], folder / "bare.log", {}) as floor:
        for kind in ("sqlite", "postgresql"):
            url = stores.fresh(kind)
            with service(folder, url) as ours:
                taken = 0

                def rate(address: str) -> float:
                    nonlocal taken
                    facts = load(address, requests)
                    taken += facts["statuses"]["204"] if address == ours else 0
                    return requests / float(facts["seconds"])

                figures = interleave({"ours": lambda: rate(ours), "only answers": lambda: rate(floor)}, rounds)
                figures["floor"] = RATE
                notes = [f"{taken:,} answered 204, {rows(url):,} rows"]
                assert taken == rows(url), notes
                yield Comparison(
                    f"pings, as many as it takes, {kind}", "pings/s", figures, 1, higher_is_better=True, notes=notes
                )
                before = rows(url)
                ours_at_rate, floor_at_rate = (load(address, RATE * seconds, RATE) for address in (ours, floor))
                answered = ours_at_rate["statuses"].get("204", 0)
                stored = rows(url) - before
                assert answered == stored, (ours_at_rate, stored)
                yield Comparison(
                    f"pings, {RATE:,} a second, the slowest of a hundred, {kind}",
                    "s",
                    {"ours": ours_at_rate["p99"], "floor": floor_at_rate["p99"]},
                    None,
                    notes=[
                        f"{answered:,} answered 204, {stored:,} rows",
                        f"{RATE * seconds / ours_at_rate['seconds']:,.0f} a second held",
                    ],
                )


def load(address: str, requests: int, rate: int | None = None) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "http_load.py"), address, str(CONNECTIONS), str(requests)]
    done = subprocess.run([*command, *([str(rate)] if rate else [])], stdout=subprocess.PIPE, check=True)
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def rows(url: str) -> int:
    """Return the number of pings that are stored in both tables."""
    database = Database(create_database_engine(url))
    with database.engine.connect() as connection:
        counted = [
            int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() or 0)
            for table in ("event_logs", "telemetry_events_export_queue")
        ]
    database.close()
    assert counted[0] == counted[1], counted
    return counted[0]


@contextmanager
def service(folder: Path, url: str) -> Iterator[str]:
    packages = folder / "packages.toml"
    packages.write_text(PACKAGES)
    environment = {
        "TELEMETRY_DATABASE_URL": url,
        "TELEMETRY_EXPORT_MODE": "all",
        "TELEMETRY_INGEST_COLLECTION_FILE": str(packages),
        "TELEMETRY_INGEST_REQUESTS_PER_SECOND": "0",  # the load has one address
    }
    command = ["-m", "telemetry_cli.main", "ingest", "serve", "--listen", "127.0.0.1:0"]
    with server(command, folder / "ours.log", environment) as address:
        yield address


@contextmanager
def server(command: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[str]:
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, *command], env={**os.environ, **environment}, stderr=output)
    try:
        address = None
        while address is None:
            assert process.poll() is None, log.read_text()
            found = re.search(r"listening on (\S+)", log.read_text())
            address = found and found[1]
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
