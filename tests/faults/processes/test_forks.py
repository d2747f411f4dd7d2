"""Recorders that were created and used before a fork: each child uses its own connections and threads."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from typing import Any

import pytest

from recorder import AsyncRecorder, BufferedRecorder, Recorder
from support.recorders import make_recorder, queued, stored_names
from telemetry import NewEvent
from telemetry_store.database import Database

PROCESSES = 4
EVENTS = 25


def record_async(recorder: AsyncRecorder) -> None:
    async def recording() -> None:
        await asyncio.gather(*(recorder.record("child", "async") for _ in range(EVENTS)))

    asyncio.run(recording())


def record_buffered(recorder: BufferedRecorder) -> None:
    for _ in range(EVENTS):
        recorder.record("child", "buffered")
    # Without close: the buffered events are stored when the process ends.


def record_in_turn(recorder: Recorder) -> None:
    for _ in range(EVENTS - 5):
        recorder.record("child", "strict")
    recorder.batch_record([NewEvent("child", "strict")] * 5)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("wrap", "record", "action"),
    [
        (lambda recorder: recorder, record_in_turn, "strict"),
        (AsyncRecorder, record_async, "async"),
        (BufferedRecorder, record_buffered, "buffered"),
    ],
)
@pytest.mark.interpreter
def test_children_of_a_process_that_has_already_recorded(
    database: Database, wrap: Callable[[Recorder], Any], record: Callable[[Any], None], action: str
) -> None:
    recorder = make_recorder(database)
    wrapped = wrap(recorder)
    record(wrapped)
    time.sleep(0.2)  # its threads are idle: a child must not wait for them
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=record, args=(wrapped,)) for _ in range(PROCESSES)]
    for child in children:
        child.start()
    record(wrapped)
    for child in children:
        child.join(60)
    exit_codes = [child.exitcode for child in children]
    for child in children:
        child.kill()
    assert exit_codes == [0] * PROCESSES
    if isinstance(wrapped, BufferedRecorder):
        assert wrapped.flush()
    names = [f"child.{action}"] * EVENTS * (PROCESSES + 2)
    assert stored_names(database) == (names, names)
    if isinstance(wrapped, AsyncRecorder):
        asyncio.run(wrapped.close())
    wrapped.close() if isinstance(wrapped, BufferedRecorder) else recorder.close()
    assert len(queued(database)) == len(names)
