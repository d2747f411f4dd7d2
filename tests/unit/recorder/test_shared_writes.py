import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest

from recorder import DatabaseBusyError
from recorder.gathering.shared_writes import SharedWrites

PATIENCE = 30


class Writer:
    """Writes into a list once the test allows it."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.reported: list[tuple[list[str], Exception]] = []
        self.errors: dict[str, Exception] = {}
        self._let = threading.Event()
        self._begun = threading.Semaphore(0)
        self._let.set()

    def write(self, items: Sequence[str]) -> None:
        self._begun.release()
        assert self._let.wait(PATIENCE)
        if error := next((self.errors[item] for item in items if item in self.errors), None):
            raise error
        self.groups.append(list(items))

    def report(self, items: Sequence[str], error: Exception) -> None:
        self.reported.append((list(items), error))

    def hold(self) -> None:
        self._let.clear()

    def go_on(self) -> None:
        self._let.set()

    async def begun(self) -> None:
        await asyncio.to_thread(self.wait_until_begun)

    def wait_until_begun(self) -> None:
        assert self._begun.acquire(timeout=PATIENCE)


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer()
    yield writer
    writer.go_on()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def shared(writer: Writer, pool: ThreadPoolExecutor, *, writers: int = 1, most_items: int = 500) -> SharedWrites[str]:
    return SharedWrites(writer.write, writer.report, pool, writers=writers, most_items=most_items)


def test_a_single_caller_does_not_wait(writer: Writer, pool: ThreadPoolExecutor) -> None:
    async def service() -> None:
        writes = shared(writer, pool)
        for item in "abc":
            await writes.submit([item])

    asyncio.run(service())
    assert writer.groups == [["a"], ["b"], ["c"]]


async def while_one_is_written(writer: Writer, writes: SharedWrites[str], *others: Sequence[str]) -> list[object]:
    """Submits `a`, and others while it is being written; returns the outcomes, in order."""
    writer.hold()
    tasks = [asyncio.create_task(writes.submit(["a"]))]
    await writer.begun()
    tasks += [asyncio.create_task(writes.submit(items)) for items in others]
    await asyncio.sleep(0)  # let them start
    writer.go_on()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_events_that_arrive_while_writers_are_busy_are_written_together(
    writer: Writer, pool: ThreadPoolExecutor
) -> None:
    outcomes = asyncio.run(while_one_is_written(writer, shared(writer, pool), ["b"], ["c", "d"], [], ["e"]))
    assert outcomes == [None] * 5
    assert writer.groups == [["a"], ["b", "c", "d", "e"]]


def test_a_group_has_a_limit_but_items_of_one_caller_stay_together(writer: Writer, pool: ThreadPoolExecutor) -> None:
    writes = shared(writer, pool, most_items=3)
    outcomes = asyncio.run(while_one_is_written(writer, writes, ["b", "c"], ["d", "e"], ["f"], list("ghijk"), ["l"]))
    assert outcomes == [None] * 6
    assert writer.groups == [["a"], ["b", "c"], ["d", "e", "f"], list("ghijk"), ["l"]]


def test_writers_run_concurrently_up_to_the_limit(writer: Writer, pool: ThreadPoolExecutor) -> None:
    async def service() -> None:
        writes = shared(writer, pool, writers=2)
        writer.hold()
        tasks = [asyncio.create_task(writes.submit([item])) for item in "abcd"]
        await writer.begun()
        await writer.begun()
        writer.go_on()
        await asyncio.gather(*tasks)

    asyncio.run(service())
    assert sorted(item for group in writer.groups for item in group) == list("abcd")
    assert len(writer.groups) in (3, 4)  # the first free writer takes the remaining ones


def test_a_failing_item_fails_only_its_own_caller(writer: Writer, pool: ThreadPoolExecutor) -> None:
    error = ValueError("c")
    writer.errors["c"] = error
    outcomes = asyncio.run(while_one_is_written(writer, shared(writer, pool), ["b"], ["c", "x"], ["d"]))
    assert outcomes == [None, None, error, None]
    assert writer.groups == [["a"], ["b"], ["d"]]


def test_an_error_that_affects_every_item_fails_all_callers_at_once(writer: Writer, pool: ThreadPoolExecutor) -> None:
    writer.errors["b"] = DatabaseBusyError("locked")
    outcomes = asyncio.run(while_one_is_written(writer, shared(writer, pool), ["b"], ["c"], ["d"]))
    assert outcomes[0] is None
    assert [str(outcome) for outcome in outcomes[1:]] == ["locked"] * 3
    assert len({id(outcome) for outcome in outcomes[1:]}) == 3  # each is a separate object
    assert writer.groups == [["a"]]


def test_cancelling_a_caller_does_not_stop_the_write_and_reports_a_failure(
    writer: Writer, pool: ThreadPoolExecutor
) -> None:
    error = ValueError("c")
    writer.errors["c"] = error

    async def service() -> None:
        writes = shared(writer, pool)
        writer.hold()
        tasks = [asyncio.create_task(writes.submit([item])) for item in "abcd"]
        await writer.begun()
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 4
        writer.go_on()
        await writes.submit(["e"])

    asyncio.run(service())
    assert sorted(item for group in writer.groups for item in group) == list("abde")
    assert writer.reported == [(["c"], error)]


def test_a_failure_is_reported_if_the_loop_was_closed_meanwhile(writer: Writer) -> None:
    error = ValueError("a")
    writer.errors["a"] = error
    writer.hold()
    pool = ThreadPoolExecutor(1)
    writes = shared(writer, pool)
    loop = asyncio.new_event_loop()
    task = loop.create_task(writes.submit(["a"]))
    loop.run_until_complete(writer.begun())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    writer.go_on()
    pool.shutdown()
    assert writer.reported == [(["a"], error)]


def test_callers_of_several_loops_share_a_write(writer: Writer, pool: ThreadPoolExecutor) -> None:
    writes = shared(writer, pool)
    writer.hold()
    submitted = threading.Barrier(4)

    def run(item: str) -> None:
        async def service() -> None:
            task = asyncio.create_task(writes.submit([item]))
            await asyncio.sleep(0)
            if item != "a":
                submitted.wait(PATIENCE)
            await task

        asyncio.run(service())

    threads = [threading.Thread(target=run, args=(item,)) for item in "abcd"]
    threads[0].start()
    writer.wait_until_begun()
    for thread in threads[1:]:
        thread.start()
    submitted.wait(PATIENCE)
    writer.go_on()
    for thread in threads:
        thread.join(PATIENCE)
    assert [sorted(group) for group in writer.groups] == [["a"], ["b", "c", "d"]]


def test_callers_get_an_error_after_the_executor_was_shut_down(writer: Writer) -> None:
    pool = ThreadPoolExecutor(1)
    writes = shared(writer, pool)
    pool.shutdown()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="shutdown"):
            asyncio.run(writes.submit(["a"]))
    assert writer.groups == []


def test_a_caller_after_the_shutdown_does_not_fail_waiting_callers(writer: Writer) -> None:
    pool = ThreadPoolExecutor(1)
    writes = shared(writer, pool, writers=3)

    async def service() -> None:
        writer.hold()
        early = [asyncio.create_task(writes.submit([item])) for item in "ab"]
        await writer.begun()
        pool.shutdown(wait=False)  # the second writer waits for a thread
        with pytest.raises(RuntimeError, match="shutdown"):
            await writes.submit(["late"])
        writer.go_on()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*early)

    asyncio.run(service())
    assert writer.groups == [["a"], ["b"]]


def test_a_running_writer_may_serve_a_caller_after_the_shutdown(writer: Writer, pool: ThreadPoolExecutor) -> None:
    class Overtaken(Executor):
        """An executor that is shut down after its first writer, which takes waiting items just before the error."""

        calls = 0

        def submit(self, function: Any, /, *_: Any, **__: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                return pool.submit(function)
            writer.go_on()
            until = time.monotonic() + PATIENCE
            while len(writer.groups) < 2 and time.monotonic() < until:
                time.sleep(0.001)
            raise RuntimeError("shutdown")

    writes = SharedWrites(writer.write, writer.report, Overtaken(), writers=2)

    async def service() -> None:
        writer.hold()
        early = asyncio.create_task(writes.submit(["early"]))
        await writer.begun()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(early, writes.submit(["late"]))

    asyncio.run(service())
    assert writer.groups == [["early"], ["late"]]
