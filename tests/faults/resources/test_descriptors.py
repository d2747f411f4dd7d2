"""A process without free file descriptors: typed errors, no crash, and recovery when there are some again."""

import os
import subprocess
import sys
from pathlib import Path

from support.recorders import queued
from telemetry_store.database import Database

PRELUDE = """
import os, resource, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def exhaust():
    taken = []
    while True:
        try:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return taken

def give_back(taken):
    for each in taken:
        os.close(each)
"""
RECORDER = f"""{PRELUDE}
from recorder import Recorder, RecorderError
url = sys.argv[1]
used = Recorder.from_url(url, service_version="1")
used.record("search", "before")
fresh = Recorder.from_url(url, service_version="1")
taken = exhaust()
for recorder, name in ((used, "used"), (fresh, "fresh")):
    try:
        recorder.record("search", name)
    except RecorderError as error:
        print("refused", name, type(error).__name__)
    else:
        print("stored", name)
give_back(taken)
for recorder in (used, fresh):
    recorder.record("search", "after")
    recorder.close()
"""
EXPORTER = f"""{PRELUDE}
from pathlib import Path
from prometheus_client import CollectorRegistry
from export import ExporterSettings, ExportJobs, ExportMetrics
from support.recorders import make_recorder
from support.gateway_server import running_gateway
url, folder = sys.argv[1], Path(sys.argv[2])
settings = dict(database_url=url, instance_id="i", export_mode="all", rpc_deadline="5s")
with running_gateway(folder) as gateway:
    jobs = ExportJobs(ExporterSettings.load(export_addr=f"http://{{gateway.address}}", **settings),
                      metrics=ExportMetrics(CollectorRegistry()))
    recorder = make_recorder(jobs.database)
    record = lambda name: recorder.record("search", name)
    record("first")
    taken = exhaust()
    first = jobs.exporter.run_pass()
    print("exhausted", first.outcome.value)
    jobs.observe_queue()
    give_back(taken)
    end = time.monotonic() + 60
    while jobs.queue.counts().pending and time.monotonic() < end:
        jobs.exporter.run_pass()
        time.sleep(0.2)
    record("second")
    jobs.exporter.run_pass()
    counts = jobs.queue.counts()
    print("exported", counts.exported, "dead", counts.dead, "published", len(gateway.published_ids()))
    jobs.close()
"""
GATEWAY = f"""{PRELUDE}
from pathlib import Path
from support.gateway_server import running_gateway
from support.gateway_client import event, send
import grpc
with running_gateway(Path(sys.argv[1])) as gateway:
    with gateway.channel() as channel:
        assert send(channel, [event()]).code is grpc.StatusCode.OK
        taken = exhaust()
        good, bad = event(), event()
        bad.feature = "BAD"
        answer = send(channel, [good])  # uses the open connection and the open files
        print("open", answer.code.name)
        answer = send(channel, [bad])  # opens the rejects file for each batch
        print("rejects", answer.code.name)
        give_back(taken)
        answer = send(channel, [bad])
        print("afterwards", answer.code.name, list(answer.rejected) == [bad.id])
    with gateway.channel() as channel:
        print("new", send(channel, [event()]).code.name)
"""


def run(program: str, *arguments: str) -> list[str]:
    environment = {
        **os.environ,
        "TELEMETRY_EXPORT_MODE": "all",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    return [line for line in done.stdout.splitlines() if not line.startswith("20")]


def test_a_recorder_without_descriptors(migrated_url: str, database: Database) -> None:
    output = run(RECORDER, migrated_url)
    assert output == ["stored used", "refused fresh DatabaseUnavailableError"]
    names = sorted(event.action for event in queued(database).values())
    assert names == ["after", "after", "before", "used"]


def test_an_exporter_without_descriptors(migrated_url: str, tmp_path: Path) -> None:
    exhausted, exported = run(EXPORTER, migrated_url, str(tmp_path))
    assert exhausted in ("exhausted outage", "exhausted database", "exhausted drained")
    assert exported == "exported 2 dead 0 published 2"


def test_a_gateway_without_descriptors(tmp_path: Path) -> None:
    assert run(GATEWAY, str(tmp_path)) == ["open OK", "rejects UNAVAILABLE", "afterwards OK True", "new OK"]
