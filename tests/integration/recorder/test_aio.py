"""The recorder for asyncio services."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from structlog.testing import capture_logs

from recorder import AsyncRecorder, BuiltEvent, Recorder, without_event_logs
from support.recorders import make_recorder, stored_names
from telemetry import InvalidNameError, NewEvent, event_context
from telemetry_store.database import Database


class SlowStore:
    """Stores once the test allows it, so that the test can cancel before."""

    def __init__(self, *, fail: bool = False) -> None:
        self.may_go = threading.Event()
        self.begun = threading.Event()
        self.fail = fail
        self.stored: list[BuiltEvent] = []

    def store_events(self, events: Any, **_: Any) -> None:
        self.begun.set()
        assert self.may_go.wait(10)
        if self.fail:
            raise RuntimeError("secret text")
        self.stored.extend(events)

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_events_are_stored_with_the_tasks_context(database: Database) -> None:
    async def service() -> None:
        recorder = AsyncRecorder(make_recorder(database))
        with event_context(user_id=7):
            await recorder.record("search", "submit")
        with without_event_logs():
            await recorder.batch_record([NewEvent("queue", "only"), NewEvent("queue", "only")])
        await recorder.close()

    asyncio.run(service())
    assert stored_names(database) == (["search.submit"], ["queue.only", "queue.only", "search.submit"])


def test_invalid_input_raises_in_the_caller(database: Database) -> None:
    async def service() -> None:
        recorder = AsyncRecorder(make_recorder(database))
        with pytest.raises(InvalidNameError):
            await recorder.batch_record([NewEvent.with_run_time_names("BAD", "x")])
        await recorder.close()

    asyncio.run(service())


def test_a_write_does_not_block_the_event_loop() -> None:
    store = SlowStore()

    async def service() -> int:
        recorder = AsyncRecorder(Recorder(store, service_version="1"))
        writing = asyncio.create_task(recorder.record("search", "submit"))
        ticks = 0
        await asyncio.to_thread(store.begun.wait, 10)
        for _ in range(20):
            await asyncio.sleep(0.001)
            ticks += 1
        store.may_go.set()
        await writing
        await recorder.close()
        return ticks

    assert asyncio.run(service()) == 20
    assert len(store.stored) == 1


@pytest.mark.parametrize("fail", [False, True])
def test_a_cancelled_callers_event_is_stored_or_reported(fail: bool) -> None:
    store = SlowStore(fail=fail)

    async def service() -> None:
        recorder = AsyncRecorder(Recorder(store, service_version="1"))
        writing = asyncio.create_task(recorder.record("search", "submit"))
        await asyncio.to_thread(store.begun.wait, 10)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        store.may_go.set()
        await recorder.close()

    with capture_logs() as logs:
        asyncio.run(service())
    assert len(store.stored) == (0 if fail else 1)
    assert [(line["feature"], line["error"]) for line in logs] == ([("search", "RuntimeError")] if fail else [])
    assert "secret" not in str(logs)


def test_a_failure_is_reported_even_if_the_loop_was_closed_first() -> None:
    store = SlowStore(fail=True)
    recorder = AsyncRecorder(Recorder(store, service_version="1"))

    async def service() -> None:
        writing = asyncio.create_task(recorder.record("search", "submit"))
        await asyncio.to_thread(store.begun.wait, 10)
        writing.cancel()

    with capture_logs() as logs:
        asyncio.run(service())
        store.may_go.set()
        recorder._pool.shutdown()
    assert [line["error"] for line in logs] == ["RuntimeError"]


def test_a_cancelled_event_that_waits_for_a_thread_is_stored() -> None:
    store = SlowStore()

    async def service() -> None:
        recorder = AsyncRecorder(Recorder(store, service_version="1"), threads=1)
        first = asyncio.create_task(recorder.record("first", "one"))
        second = asyncio.create_task(recorder.record("second", "one"))
        await asyncio.to_thread(store.begun.wait, 10)
        second.cancel()
        store.may_go.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        await recorder.close()

    asyncio.run(service())
    assert [each.event.feature for each in store.stored] == ["first", "second"]


def async_engine(url: str) -> AsyncEngine:
    return create_async_engine(url.replace("sqlite://", "sqlite+aiosqlite://"))


@asynccontextmanager
async def by_connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.begin() as connection:
        yield connection


@asynccontextmanager
async def by_session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session, session.begin():
        yield session


@pytest.mark.parametrize("begin", [by_connection, by_session])
@pytest.mark.parametrize("commit", [True, False])
def test_events_join_the_callers_asyncio_transaction(
    migrated_url: str, database: Database, begin: Callable[[AsyncEngine], Any], commit: bool
) -> None:
    async def service() -> None:
        engine = async_engine(migrated_url)
        recorder = AsyncRecorder(make_recorder(database))
        try:
            async with begin(engine) as connection:
                await recorder.record("shop", "one", connection=connection)
                await recorder.batch_record([NewEvent("shop", "two"), NewEvent("shop", "three")], connection=connection)
                if not commit:
                    _ = 1 / 0
        except ZeroDivisionError:
            pass
        await recorder.close()
        await engine.dispose()

    asyncio.run(service())
    names = ["shop.one", "shop.three", "shop.two"] if commit else []
    assert stored_names(database) == (names, names)


def test_closing_waits_for_pending_writes() -> None:
    store = SlowStore()

    async def service() -> None:
        recorder = AsyncRecorder(Recorder(store, service_version="1"))
        writing = asyncio.create_task(recorder.record("search", "submit"))
        await asyncio.to_thread(store.begun.wait, 10)
        timer = threading.Timer(0.05, store.may_go.set)
        timer.start()
        await recorder.close()
        assert len(store.stored) == 1
        await writing

    started = time.monotonic()
    asyncio.run(service())
    assert time.monotonic() - started < 10
