"""A recording coroutine is cancelled at each of its steps: the event is stored completely, or its loss is logged."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Coroutine
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from recorder import AsyncRecorder
from support.recorders import make_recorder, stored_names
from telemetry import EventParameters, NewEvent
from telemetry_store.database import Database

MOST_STEPS = 200


async def cancelled_after(steps: int, work: Coroutine[Any, Any, object]) -> bool:
    """Cancel a task after a number of iterations of the event loop; return whether it had already ended."""
    task = asyncio.ensure_future(work)
    for _ in range(steps):
        if task.done():
            break
        await asyncio.sleep(0.0005 if steps > 5 else 0)  # not 0, or the loop would spin while a thread writes
    over = task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return over


@pytest.mark.parametrize("events", [1, 3])
def test_at_every_step(database: Database, events: int) -> None:
    batch = [NewEvent("search", "submit", EventParameters(private_metadata={"a": 1}))] * events

    async def service() -> int:
        recorder = AsyncRecorder(make_recorder(database))
        steps = 0
        # Only the first task opens a connection; the later ones use the open one.
        while not await cancelled_after(steps, recorder.batch_record(batch)):
            steps += 1
            assert steps < MOST_STEPS
        await recorder.close()
        return steps

    with capture_logs() as logs:
        steps = asyncio.run(service())
    event_logs, queue = stored_names(database)
    assert event_logs == queue
    assert len(queue) % events == 0  # only complete batches
    assert events <= len(queue) <= events * (steps + 1)
    assert logs == []  # nothing failed, so nothing is logged


@pytest.mark.parametrize("events", [1, 3])
def test_of_a_write_that_fails(database: Database, events: int) -> None:
    """A cancelled caller does not get the error, so it is logged; another caller gets the error."""
    batch = [NewEvent("search", "submit")] * events

    async def service() -> tuple[int, int]:
        recorder = AsyncRecorder(make_recorder(database))
        ids = await recorder.batch_record(batch)
        twice = [NewEvent("search", "submit", id=event_id) for event_id in ids]
        steps = raised = 0
        over = False
        while not over:
            try:
                over = await cancelled_after(steps, recorder.batch_record(twice))
            except ValueError:
                raised += 1
                over = True
            steps += 1
            assert steps < MOST_STEPS
        await recorder.close()
        return steps, raised

    with capture_logs() as logs:
        steps, raised = asyncio.run(service())
    assert raised == 1
    # The first was cancelled before it began to run; each later one is logged, one line for each event.
    assert len([line for line in logs if line["event"] == "event not recorded"]) == events * (steps - 2)
    assert len(stored_names(database)[1]) == events


@pytest.mark.parametrize("events", [1, 3])
def test_in_the_callers_transaction(database: Database, migrated_url: str, events: int) -> None:
    """The caller catches the cancellation and commits: the whole batch is stored, or nothing of it."""
    batch = [NewEvent("search", "submit")] * events
    opened: list[sqlite3.Connection] = []

    class Remembered(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.append(self)

    # A cancellation while the host connects leaves aiosqlite's connection open.
    options: dict[str, Any] = (
        {"factory": Remembered, "check_same_thread": False} if migrated_url.startswith("sqlite") else {}
    )
    engine = create_async_engine(migrated_url.replace("sqlite://", "sqlite+aiosqlite://"), connect_args=options)

    async def caller(recorder: AsyncRecorder) -> None:
        async with engine.connect() as connection:
            await connection.begin()
            try:
                await recorder.batch_record(batch, connection=connection)
            finally:
                with contextlib.suppress(Exception):  # a cancellation may break a connection, which then raises
                    await connection.commit()

    async def service() -> int:
        recorder = AsyncRecorder(make_recorder(database))
        steps = 0
        while not await cancelled_after(steps, caller(recorder)):
            steps += 1
            assert steps < MOST_STEPS
        await recorder.close()
        await engine.dispose()
        return steps

    try:
        with capture_logs():
            steps = asyncio.run(service())
    finally:
        for connection in opened:
            connection.close()
    event_logs, queue = stored_names(database)
    assert event_logs == queue
    assert len(queue) % events == 0
    assert events <= len(queue) <= events * (steps + 1)
