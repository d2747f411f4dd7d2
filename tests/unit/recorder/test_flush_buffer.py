"""The buffer of the buffered recorder: which events wait, which are lost, and that losses are logged."""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from celery.signals import worker_process_shutdown  # type: ignore[import-untyped]
from structlog.testing import capture_logs

from recorder.gathering import flush_buffer
from recorder.gathering.flush_buffer import FlushBuffer
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.errors import DatabaseBusyError, DuplicateEventError
from telemetry_store.ports import BuiltEvent

SOON = timedelta(milliseconds=5)
LONG = timedelta(seconds=10)


def waiting(*ids: str, in_event_logs: bool = True) -> list[BuiltEvent]:
    return [BuiltEvent(pb.Event(id=each, feature="search", action="submit"), in_event_logs) for each in ids]


class Store:
    """Stores batches, or raises the errors of the test."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.errors: list[Exception] = []
        self.bad: dict[str, Exception] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def store(self, batch: Sequence[BuiltEvent]) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        if self.errors:
            raise self.errors.pop(0)
        ids = [each.event.id for each in batch]
        for each in ids:
            if each in self.bad:
                raise self.bad[each]
        self.batches.append(ids)

    @property
    def ids(self) -> list[str]:
        return [each for batch in self.batches for each in batch]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def reported() -> list[tuple[str, Exception]]:
    return []


@pytest.fixture
def make(store: Store, reported: list[tuple[str, Exception]], monkeypatch: pytest.MonkeyPatch) -> Any:
    made: list[FlushBuffer] = []
    monkeypatch.setattr(flush_buffer, "_FIRST_RETRY_SECONDS", 0.01)

    def buffer(**options: Any) -> FlushBuffer:
        defaults: dict[str, Any] = {"capacity": 100, "interval": SOON, "flush_events": 10, "close_timeout": LONG}
        made.append(
            FlushBuffer(
                store.store,
                lambda each, error: reported.append((each.event.id, error)),
                **{**defaults, **options},
            )
        )
        return made[-1]

    yield buffer
    store.gate.set()
    for each in made:
        each.close()


def test_the_exit_of_a_celery_worker_stores_waiting_events(make: Any, store: Store) -> None:
    buffer = make(interval=LONG)
    buffer.put(waiting("a", "b"))
    worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    assert store.ids == ["a", "b"]
    assert not worker_process_shutdown.has_listeners()  # disconnected by `close`


def test_no_thread_runs_before_the_first_event(make: Any) -> None:
    buffer = make()
    assert buffer._thread is None
    assert buffer.flush(LONG)


def test_events_are_stored_together_after_the_interval(make: Any, store: Store) -> None:
    buffer = make(interval=timedelta(milliseconds=500))
    for number in range(5):
        assert buffer.put(waiting(str(number)))
    deadline = time.monotonic() + 10
    while len(store.ids) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.batches == [["0", "1", "2", "3", "4"]]


def test_many_events_are_stored_in_batches_before_the_interval(make: Any, store: Store) -> None:
    buffer = make(interval=LONG)
    assert buffer.put(waiting(*(str(number) for number in range(25))))
    assert buffer.flush(LONG)
    assert [len(batch) for batch in store.batches] == [10, 10, 5]


def test_events_with_and_without_a_row_in_event_logs_share_a_transaction(make: Any, store: Store) -> None:
    buffer = make(interval=LONG)
    buffer.put([*waiting("a", "b"), *waiting("c", in_event_logs=False), *waiting("d")])
    assert buffer.flush(LONG)
    assert store.batches == [["a", "b", "c", "d"]]


def test_events_that_do_not_fit_into_the_buffer_are_logged_as_lost(make: Any, store: Store) -> None:
    buffer = make(capacity=3)
    store.gate.clear()
    with capture_logs() as logs:
        assert buffer.put(waiting("a"))
        assert store.entered.wait(10)  # being stored, and still counted
        assert not buffer.put(waiting("b", "c", "d"))
        assert buffer.put(waiting("b", "c"))
        assert not buffer.put(waiting("e"))
        store.gate.set()
        assert buffer.flush(LONG)
        buffer.put(waiting("f"))
        assert buffer.flush(LONG)
    assert store.ids == ["a", "b", "c", "f"]
    assert [(line["event"], line["count"], line["reason"]) for line in logs] == [
        ("events lost", 4, "the buffer is full")
    ]


def test_events_wait_while_the_database_is_unavailable(make: Any, store: Store, reported: Any) -> None:
    buffer = make()
    store.errors = [DatabaseBusyError("locked"), DatabaseBusyError("locked")]
    with capture_logs() as logs:
        buffer.put(waiting("a", "b"))
        assert buffer.flush(LONG)
    assert (store.batches, reported) == ([["a", "b"]], [])
    assert [(line["event"], line["count"]) for line in logs] == [("events wait to be stored", 2)] * 2


def test_a_failing_event_does_not_fail_the_others(make: Any, store: Store, reported: Any) -> None:
    error = DuplicateEventError("again")
    store.bad = {"b": error, "d": TypeError("odd")}
    buffer = make()
    buffer.put(waiting("a", "b", "c", "d"))
    assert buffer.flush(LONG)
    assert store.ids == ["a", "c"]
    assert reported == [("b", error), ("d", store.bad["d"])]


def test_a_commit_hidden_by_a_broken_connection_is_not_a_failure(make: Any, store: Store, reported: Any) -> None:
    store.errors = [DatabaseBusyError("broke after the commit")]
    store.bad = {"a": DuplicateEventError("is there")}
    buffer = make()
    buffer.put(waiting("a"))
    assert buffer.flush(LONG)
    assert reported == []


def test_flush_returns_false_after_the_timeout(make: Any, store: Store) -> None:
    store.gate.clear()
    buffer = make()
    buffer.put(waiting("a"))
    assert not buffer.flush(SOON)


def test_closing_stores_waiting_events_and_rejects_new_ones(make: Any, store: Store) -> None:
    buffer = make(interval=LONG)
    buffer.put(waiting("a", "b"))
    buffer.close()
    assert store.ids == ["a", "b"]
    with capture_logs() as logs:
        assert not buffer.put(waiting("c"))
    assert [(line["event"], line["reason"]) for line in logs] == [("events lost", "the recorder is closed")]
    buffer.close()


@pytest.mark.parametrize("away", [False, True])
def test_closing_has_a_timeout_and_logs_events_that_were_not_stored(make: Any, store: Store, away: bool) -> None:
    buffer = make(close_timeout=timedelta(milliseconds=100))
    if away:
        store.errors = [DatabaseBusyError("locked")] * 10_000
    else:
        store.gate.clear()
    buffer.put(waiting("a", "b"))
    assert store.entered.wait(10)
    buffer.put(waiting("c"))
    started = time.monotonic()
    with capture_logs() as logs:
        buffer.close()
    assert time.monotonic() - started < 5
    lost = [line for line in logs if line["event"] == "events lost"]
    assert [(line["count"], line["reason"]) for line in lost] == [(3, "not stored before the process ended")]


def test_a_forked_child_starts_with_an_empty_buffer(make: Any, store: Store) -> None:
    buffer = make(interval=LONG)
    buffer.put(waiting("parents"))
    parent = {
        name: getattr(buffer, name) for name in ("_state", "_filled", "_flush_now", "_closing", "_waiting", "_thread")
    }
    buffer.after_fork_in_child()
    assert (len(buffer._waiting), buffer._thread) == (0, None)
    buffer.put(waiting("childs"))
    assert buffer.flush(LONG)
    assert store.ids == ["childs"]
    buffer.close()
    for name, value in parent.items():  # restore the state: this process is the parent, too
        setattr(buffer, name, value)
