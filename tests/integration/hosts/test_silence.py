"""The library prints nothing in a host that has not configured logging."""

import subprocess
import sys
from pathlib import Path

import pytest

BAD = "/no/such/folder/telemetry.db"
RECORDING = f"""
import asyncio, os
from datetime import timedelta
from recorder import AsyncRecorder, BestEffortRecorder, BufferedRecorder, Recorder
from telemetry import TelemetryError
recorder = Recorder.from_url("sqlite:///{BAD}", service_version="1")
best_effort = BestEffortRecorder(recorder)
assert best_effort.record("search.results", "submit") is None
assert best_effort.record("not a name", "") is None
buffered = BufferedRecorder(recorder, capacity=1, close_timeout=timedelta(seconds=0.1))
for _ in range(3):
    buffered.record("search.results", "submit")
buffered.close()
try:
    asyncio.run(AsyncRecorder(recorder).record("search.results", "submit"))
except TelemetryError:
    pass
recorder.close()
os.environ["TELEMETRY_MODE"] = "off"
Recorder.from_url("sqlite:///{BAD}", service_version="1").record("search.results", "submit")
"""
EXPORTING = """
import logging, os
from export import ExporterSettings, ExportJobs, ExportMetrics
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine
from telemetry_store.migrations import upgrade_database
url = f"sqlite:///{os.path.abspath('telemetry.db')}"
engine = create_engine(url)
upgrade_database(engine)
engine.dispose()
for database_url in (url, "sqlite:////no/such/folder/telemetry.db"):
    settings = ExporterSettings.load(
        database_url=database_url, instance_id="i", export_mode="all", export_addr="http://127.0.0.1:1",
        export_interval="1s",
    )
    jobs = ExportJobs(settings, metrics=ExportMetrics(CollectorRegistry()))
    jobs.start()
    jobs.exporter.run_pass()
    jobs.observe_queue()
    jobs.stop()
logging.getLogger("apscheduler.scheduler").warning("a pass took longer than its interval")
"""
RECEIVING = """
import asyncio, os, signal
from telemetry_gateway import GatewaySettings, serve
async def main():
    loop = asyncio.get_running_loop()
    def ready(address):
        loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await serve(GatewaySettings.load(listen_addr="127.0.0.1:0", sink="jsonl"), on_ready=ready)
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [RECORDING, EXPORTING, RECEIVING], ids=["recording", "exporting", "receiving"])
def test_nothing_is_printed(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
