"""Diversions receive the events of all threads until their block ends."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from recorder import BufferedRecorder, BuiltEvent, Recorder, divert_events
from telemetry import EventParameters, InvalidNameError, NewEvent, TelemetryMode


class Store:
    """Keeps the names of events."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def store_events(self, events: Sequence[BuiltEvent], **options: Any) -> None:
        self.names += [each.event.feature for each in events]

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass


class Taker:
    """Keeps the events that it received."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.taken: list[tuple[list[str], Any, list[bool]]] = []
        self.failure = failure

    def take_events(self, events: Sequence[BuiltEvent], *, store: Any, connection: Any = None) -> None:
        if self.failure is not None:
            raise self.failure
        self.taken.append(([each.event.feature for each in events], store, [each.in_event_logs for each in events]))


def test_the_innermost_block_is_in_effect() -> None:
    store, outer, inner = Store(), Taker(), Taker()
    recorder = Recorder(store, service_version="1")
    recorder.record("before", "all")
    with divert_events(outer):
        recorder.record("in", "outer", without_event_logs=True)
        with divert_events(inner):
            recorder.batch_record([NewEvent("in.inner", "x-x")] * 2)
        with divert_events(None):
            recorder.record("in.none", "x-x")
        recorder.record("outer.again", "x-x")
        recorder.batch_record([])
    recorder.record("after", "all")
    assert store.names == ["before", "in.none", "after"]
    assert outer.taken == [(["in"], store, [False]), (["outer.again"], store, [True])]
    assert inner.taken == [(["in.inner", "in.inner"], store, [True, True])]


def test_blocks_that_end_out_of_order_leave_no_diversion() -> None:
    store = Store()
    outer, inner = divert_events(Taker()), divert_events(Taker())
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    Recorder(store, service_version="1").record("search", "submit")
    inner.__exit__(None, None, None)
    Recorder(store, service_version="1").record("search", "submit")
    assert store.names == ["search", "search"]


def test_events_of_other_threads_are_diverted() -> None:
    store, taker = Store(), Taker()
    recorder = Recorder(store, service_version="1")
    with divert_events(taker):
        thread = threading.Thread(target=recorder.record, args=("search", "submit"))
        thread.start()
        thread.join()
    assert (store.names, len(taker.taken)) == ([], 1)


def test_buffered_events_are_diverted_immediately_and_a_failure_is_logged() -> None:
    store, taker = Store(), Taker()
    recorder = BufferedRecorder(Recorder(store, service_version="1"))
    with divert_events(taker):
        assert recorder.record("search", "submit") is not None
        assert len(taker.taken) == 1
    with divert_events(Taker(RuntimeError("secret"))), capture_logs() as logs:
        assert recorder.record("search", "submit", EventParameters()) is None
    assert [line["error"] for line in logs] == ["RuntimeError"]
    recorder.close()
    assert store.names == []


def test_validation_and_the_telemetry_mode_still_apply() -> None:
    taker = Taker()
    with divert_events(taker):
        with pytest.raises(InvalidNameError):
            Recorder(Store(), service_version="1").batch_record([NewEvent.with_run_time_names("BAD", "x-x")])
        Recorder(Store(), service_version="1", telemetry_mode=TelemetryMode.OFF).record("search", "submit")
    assert taker.taken == []
