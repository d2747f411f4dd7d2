"""The buffered recorder on real databases, with forks and at the exit of processes."""

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from recorder import BufferedRecorder, without_event_logs
from support.events import CANARY
from support.recorders import make_recorder, queued, stored_names
from telemetry import EventParameters, NewEvent, event_context
from telemetry_store.database import Database

LONG = timedelta(seconds=20)


@pytest.fixture
def recorder(database: Database) -> Iterator[BufferedRecorder]:
    made = BufferedRecorder(make_recorder(database), flush_interval=timedelta(milliseconds=10))
    yield made
    made.close()


def test_events_are_stored_soon_with_the_context_of_their_call(database: Database, recorder: BufferedRecorder) -> None:
    with event_context(user_id=7):
        event_id = recorder.record("search", "submit")
    with without_event_logs():
        recorder.record("search", "quiet")
    more = recorder.batch_record([NewEvent("search", "more")] * 3)
    assert recorder.flush(LONG)
    assert event_id is not None
    assert more is not None
    assert queued(database)[event_id].user.user_id == 7
    assert set(more) < set(queued(database))
    in_logs, in_queue = stored_names(database)
    assert in_logs == ["search.more"] * 3 + ["search.submit"]
    assert in_queue == ["search.more"] * 3 + ["search.quiet", "search.submit"]


def test_invalid_input_is_logged_immediately(database: Database, recorder: BufferedRecorder) -> None:
    with capture_logs() as logs:
        assert recorder.record("search", "submit", EventParameters(metadata={"n": CANARY})) is None  # type: ignore[dict-item]
        assert recorder.batch_record([NewEvent("search", "good"), NewEvent.with_run_time_names("B A D", "x")]) is None
    assert [line["error"] for line in logs] == ["InvalidMetadataError", "InvalidNameError", "InvalidNameError"]
    assert CANARY not in str(logs)
    assert recorder.flush(LONG)
    assert stored_names(database) == ([], [])


def test_a_duplicate_id_is_logged_later_and_the_others_are_stored(
    database: Database, recorder: BufferedRecorder
) -> None:
    with capture_logs() as logs:
        taken = recorder.record("search", "first")
        recorder.record("search", "second", id=taken)
        recorder.record("search", "third")
        assert recorder.flush(LONG)
    assert stored_names(database)[1] == ["search.first", "search.third"]
    assert [(line["event"], line["action"], line["error"]) for line in logs] == [
        ("event not recorded", "second", "DuplicateEventError")
    ]


PROCESS = """
import sys
from datetime import timedelta
from recorder import BufferedRecorder, Recorder
recorder = BufferedRecorder(
    Recorder.from_url(sys.argv[1], service_version="1"), flush_interval=timedelta(seconds=60), flush_events=100_000
)
for _ in range(500):
    recorder.record("search", "submit")
"""


def test_the_exit_of_the_process_stores_waiting_events(migrated_url: str, database: Database) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROCESS, migrated_url], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(stored_names(database)[0]) == 500


def in_child(recorder: BufferedRecorder, number: int) -> None:
    recorder.record("child", "ends")
    if number == 0:
        recorder.flush(LONG)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_processes_store_only_their_own_events(database: Database, method: str) -> None:
    recorder = BufferedRecorder(make_recorder(database), flush_interval=timedelta(milliseconds=300))
    recorder.record("parent", "waits")  # in the buffer while the children start
    context: Any = multiprocessing.get_context(method)
    target: Any = in_child if method == "fork" else in_spawned_child
    given: Any = recorder if method == "fork" else database.engine.url.render_as_string(hide_password=False)
    children = [context.Process(target=target, args=(given, number)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(90)
        assert child.exitcode == 0
    assert recorder.flush(LONG)
    recorder.close()
    assert stored_names(database)[0] == ["child.ends"] * 3 + ["parent.waits"]


def in_spawned_child(url: str, number: int) -> None:
    from telemetry_store.engine import create_database_engine  # noqa: PLC0415 - the child imports it itself

    in_child(BufferedRecorder(make_recorder(Database(create_database_engine(url)))), number)
