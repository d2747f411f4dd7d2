"""Events in a buffered recorder when its process ends: they are stored, or logged as lost."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from support.recorders import queued
from telemetry_store.database import Database

PROGRAM = """
import os, signal, sys, threading, time
from datetime import timedelta
import structlog
from recorder import BufferedRecorder, Recorder
structlog.configure(processors=[structlog.processors.JSONRenderer()])
url, ending = sys.argv[1:]
recorder = Recorder.from_url(url, service_version="1")
buffered = BufferedRecorder(recorder, capacity=2_000, flush_interval=timedelta(hours=1), flush_events=1_000_000,
                            close_timeout=timedelta(seconds=30 if ending != "away" else 1))
for _ in range(2_500):
    buffered.record("search", "submit")
if ending == "exception":
    raise SystemExit(3)
if ending == "thread":  # a non-daemon thread ends after the main thread
    threading.Thread(target=lambda: (time.sleep(0.5), buffered.record("too", "late"))).start()
if ending == "signal":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.kill(os.getpid(), signal.SIGTERM)
if ending == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("ending", "code"), [("end", 0), ("exception", 3), ("thread", 0), ("signal", 0)])
def test_a_full_buffer_is_stored_at_the_end(migrated_url: str, database: Database, ending: str, code: int) -> None:
    done = _run(migrated_url, ending)
    assert done.returncode == code, done.stderr
    lost = _lost(done.stdout)
    stored = len(queued(database))
    assert stored == 2_000
    # Every event that found no room is counted.
    assert lost == {"the buffer is full": 500 + (ending == "thread")}


def test_events_lost_to_an_unavailable_database_are_logged() -> None:
    started = time.monotonic()
    done = _run("postgresql://u@127.0.0.1:1/x", "away")
    assert done.returncode == 0
    assert _lost(done.stdout) == {"the buffer is full": 500, "not stored before the process ended": 2_000}
    assert time.monotonic() - started < 60


def test_a_kill_loses_buffered_events(migrated_url: str, database: Database) -> None:
    assert _run(migrated_url, "killed").returncode == -signal.SIGKILL
    assert queued(database) == {}


def _run(url: str, ending: str) -> "subprocess.CompletedProcess[str]":
    environment = {"TELEMETRY_EXPORT_MODE": "all", "PATH": ""}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, url, ending],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _lost(output: str) -> Counter[str]:
    lost: Counter[str] = Counter()
    for line in output.splitlines():
        said = json.loads(line)
        if said["event"] == "events lost":
            lost[said["reason"]] += said["count"]
    return lost
