"""Servers that fork workers from a process that has already recorded, and gevent's greenlets."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from support.ledger import until
from support.ports import free_port
from support.recorders import queued, stored_names
from telemetry_store.database import Database

REQUESTS = 60
PRELUDE = """
import os
from datetime import timedelta
from recorder import BufferedRecorder, Recorder
from telemetry import EventParameters
recorder = Recorder.from_url(os.environ["TELEMETRY_DATABASE_URL"], service_version="1")
# The interval is so long that only the end of a worker can store its events.
buffered = BufferedRecorder(recorder, flush_interval=timedelta(hours=1), close_timeout=timedelta(seconds=20))
recorder.record("app", "preloaded")  # before any fork, on the parent's connection and thread
buffered.record("app", "preloaded")
"""
WSGI = f"""{PRELUDE}
def app(environ, start_response):
    recorder.record("request", "strict")
    buffered.record("request", "buffered")
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""
CELERY = f"""
from celery import Celery
from kombu.common import uuid
{PRELUDE}
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={{"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}},
    worker_hijack_root_logger=False, task_ignore_result=True, broker_connection_retry_on_startup=True,
)

@app.task(name="work")
def work():
    recorder.record("task", "strict")
    buffered.record("task", "buffered")
"""
SEND = """
import tasks, sys
for _ in range(int(sys.argv[1])):
    tasks.work.delay()
import os
os._exit(0)  # without storing the events that this process preloaded
"""


@contextmanager
def program(folder: Path, url: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program until the block ends; then SIGTERM must end it with exit status 0."""
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=environment(url), stdout=file, stderr=file
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "TELEMETRY_DATABASE_URL": url, "TELEMETRY_EXPORT_MODE": "all"}


def counted(database: Database) -> Counter[str]:
    logs, queue = stored_names(database)
    assert logs == queue
    return Counter(queue)


def in_queue(database: Database) -> Counter[str]:
    return Counter(f"{event.feature}.{event.action}" for event in queued(database).values())


def get(url: str) -> bytes:
    return httpx2.get(url, timeout=30).content


def answers(url: str) -> bool:
    try:
        return bool(get(url))
    except httpx2.TransportError:
        return False


def test_gunicorn_with_preloaded_workers(migrated_url: str, database: Database, tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(WSGI)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    server = ("gunicorn", "--preload", "--workers=3", "--threads=2", f"--bind=127.0.0.1:{port}", "service:app")
    with program(tmp_path, migrated_url, *server):
        until(lambda: answers(url), 60, (tmp_path / "server.log").read_text)
        with ThreadPoolExecutor(8) as clients:
            workers = set(clients.map(get, [url] * REQUESTS))
    assert len(workers) > 1
    names = counted(database)
    assert names["request.strict"] == names["request.buffered"] == REQUESTS + 1
    assert names["app.preloaded"] == 2


def test_celery_with_its_prefork_pool(migrated_url: str, database: Database, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(CELERY)
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    with program(tmp_path, migrated_url, "celery", "-A", "tasks", "worker", "--pool=prefork", "-c", "2", *quiet):
        subprocess.run(
            [sys.executable, "-c", SEND, str(REQUESTS)], cwd=tmp_path, env=environment(migrated_url), check=True
        )
        until(lambda: in_queue(database)["task.strict"] == REQUESTS, 90, (tmp_path / "server.log").read_text)
        assert in_queue(database)["task.buffered"] == 0
    assert counted(database)["task.buffered"] == REQUESTS


GEVENT = """
from gevent import monkey
monkey.patch_all()
import os, sys, gevent
from sqlalchemy import create_engine
from recorder import BestEffortRecorder, BufferedRecorder, Recorder
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from support.recorders import make_recorder

url, mode = sys.argv[1:]
database = Database(create_database_engine(url))
recorder = make_recorder(database)
turns = []

def serve(number):
    for turn in range(25):
        recorder.record("greenlet", "strict")
        turns.append(number)
        gevent.sleep(0)

greenlets = [gevent.spawn(serve, number) for number in range(20)]
gevent.joinall(greenlets, timeout=90, raise_error=True)
assert all(greenlet.ready() for greenlet in greenlets), "stuck"
assert turns != sorted(turns), "one after the other"
if database.dialect.name != "sqlite":
    admin = create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity "
                                   "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    admin.dispose()
recorder.record("greenlet", "afterwards")
buffered = BufferedRecorder(recorder)
for _ in range(50):
    buffered.record("greenlet", "buffered")
assert buffered.flush()
if mode == "fork":
    if (child := os.fork()) == 0:
        recorder.record("greenlet", "child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
for _ in range(50):
    buffered.record("greenlet", "buffered")
# Without close: the buffered events are stored when the process ends.
"""


@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_under_gevent(migrated_url: str, database: Database, mode: str) -> None:
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", GEVENT, migrated_url, mode]
    done = subprocess.run(command, env=path, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"greenlet.strict": 500, "greenlet.afterwards": 1, "greenlet.buffered": 100}
    assert counted(database) == ({**expected, "greenlet.child": 1} if mode == "fork" else expected)


SPAWNED = """
import multiprocessing, sys
from recorder import BufferedRecorder, Recorder

def work(url):
    recorder = Recorder.from_url(url, service_version="1")
    buffered = BufferedRecorder(recorder)
    for _ in range(20):
        recorder.record("spawned", "strict")
        buffered.record("spawned", "buffered")

if __name__ == "__main__":
    work(sys.argv[1])
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(work, [sys.argv[1]] * 4)
        pool.close()
        pool.join()
"""


def test_spawned_processes(migrated_url: str, database: Database, tmp_path: Path) -> None:
    (tmp_path / "spawned.py").write_text(SPAWNED)
    command = [sys.executable, "spawned.py", migrated_url]
    subprocess.run(command, cwd=tmp_path, env=environment(migrated_url), timeout=110, check=True)
    assert counted(database) == {"spawned.strict": 100, "spawned.buffered": 100}
