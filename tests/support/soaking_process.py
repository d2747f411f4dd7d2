"""A process that records and exports for a while, and prints samples: `... URL FOLDER SECONDS LEAK`."""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import make_url

from export import ExporterSettings, ExportJobs, ExportMetrics
from recorder import AsyncRecorder, BufferedRecorder, RecorderError
from support.gateway_server import running_gateway
from support.recorders import make_recorder
from telemetry import EventParameters, InvalidInputError, NewEvent

PARAMETERS = EventParameters(metadata={"n": 1}, private_metadata={"query": "x" * 500})
_PAGE = os.sysconf("SC_PAGE_SIZE")


def sample(database: Path | None) -> dict[str, int]:
    """Return the resources of this process: bytes of memory, descriptors, threads, bytes of SQLite's WAL."""
    wal = 0 if database is None else database.with_name(database.name + "-wal").stat().st_size
    return {
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - the entries do not link to files
        "threads": threading.active_count(),
        "log": wal,
    }


def main(url: str, folder: Path, seconds: float, *, leak: bool) -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    file = make_url(url).database if url.startswith("sqlite") else None
    database = None if file is None else Path(file)
    leaked: list[Any] = []
    recorded = 0
    with running_gateway(folder, sink_rotate_bytes=1_000_000) as gateway:
        settings: dict[str, Any] = {
            "database_url": url, "instance_id": "i", "export_mode": "all", "export_addr": f"http://{gateway.address}",
            "exported_events_retention": "0", "event_logs_retention": "24h",
        }  # fmt: skip
        jobs = ExportJobs(ExporterSettings.load(**settings), metrics=ExportMetrics(CollectorRegistry()))
        recorder = make_recorder(jobs.database)
        buffered, asynchronous = BufferedRecorder(recorder), AsyncRecorder(recorder)
        end = time.monotonic() + seconds
        following = 0.0
        while time.monotonic() < end:
            recorder.record("search", "submit", PARAMETERS)
            recorder.batch_record([NewEvent("search", "many", PARAMETERS)] * 20)
            buffered.batch_record([NewEvent("search", "buffered", PARAMETERS)] * 5)
            asyncio.run(asynchronous.batch_record([NewEvent("search", "async", PARAMETERS)]))
            recorded += 27
            for broken in (
                NewEvent("search", "submit", id="none"),
                NewEvent("search", "x", EventParameters(version=2**40)),
            ):
                try:
                    recorder.record_event(broken)
                except (InvalidInputError, RecorderError):
                    continue
            if leak:
                leaked += [bytearray(100_000), os.open("/dev/null", os.O_RDONLY)]
            if time.monotonic() >= following:
                following = time.monotonic() + max(0.2, seconds / 200)
                buffered.flush()
                jobs.exporter.run_pass()
                jobs.cleanup.run()
                # The host manages the size of `event_logs`; in this test it would fill the disk.
                with jobs.database.engine.begin() as connection:
                    connection.exec_driver_sql("DELETE FROM event_logs")
                print(json.dumps(sample(database)), flush=True)
        buffered.close()
        jobs.exporter.run_pass()
        pending = jobs.queue.counts().pending
        jobs.close()
    print(json.dumps({"recorded": recorded, "pending": pending}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), leak=sys.argv[4] == "True")
