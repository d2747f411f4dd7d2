"""Group commit: which callers share a transaction, which error each caller gets, and that none waits forever."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.gathering.group_commit import GroupCommit
from telemetry_store.errors import DatabaseBusyError, DuplicateEventError

SECONDS = 10


class Store:
    """Writes rows as a database would; the first write waits for `gate`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.transactions: list[list[Any]] = []
        self.errors: dict[Any, BaseException] = {}
        self.writing = 0

    def write(self, rows: Sequence[Any]) -> None:
        self.writing += 1
        assert self.writing == 1, "two transactions at a time"
        try:
            self.entered.set()
            assert self.gate.wait(SECONDS)
            for row in rows:
                if row in self.errors:
                    raise self.errors[row]
            self.transactions.append(list(rows))
        finally:
            self.writing -= 1


class Caller(threading.Thread):
    """Submits rows and keeps what was raised."""

    def __init__(self, group: GroupCommit[Any], *rows: Any) -> None:
        super().__init__()
        self.group, self.rows = group, rows
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.group.submit(self.rows)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def outcome(self) -> BaseException | None:
        self.join(SECONDS)
        assert not self.is_alive(), "waits forever"
        return self.error


def begin(store: Store, group: GroupCommit[Any], *rows: Any) -> Caller:
    """Returns a caller that is writing, and whose write waits for the gate."""
    leader = Caller(group, *rows)
    assert store.entered.wait(SECONDS)
    return leader


def until_waiting(group: GroupCommit[Any], count: int) -> None:
    for _ in range(1_000):
        if len(group._waiting) == count:
            return
        threading.Event().wait(0.002)
    raise AssertionError(f"{len(group._waiting)} wait, not {count}")


def queue_up(group: GroupCommit[Any], *callers: Sequence[Any]) -> list[Caller]:
    waiting = []
    for number, rows in enumerate(callers, start=1):
        waiting.append(Caller(group, *rows))
        until_waiting(group, number)
    return waiting


def test_a_single_caller_writes_immediately() -> None:
    store = Store()
    store.gate.set()
    group = GroupCommit(store.write)
    group.submit(["a"])
    group.submit(["b", "c"])
    assert store.transactions == [["a"], ["b", "c"]]


def test_callers_that_arrive_during_a_write_share_the_next_transaction() -> None:
    store = Store()
    group = GroupCommit(store.write)
    leader = begin(store, group, "a")
    waiting = queue_up(group, ["b"], ["c", "d"], ["e"])
    store.gate.set()
    assert [caller.outcome() for caller in (leader, *waiting)] == [None] * 4
    assert store.transactions == [["a"], ["b", "c", "d", "e"]]


def test_a_transaction_has_a_limit_of_rows() -> None:
    store = Store()
    group = GroupCommit(store.write, most_rows=3)
    leader = begin(store, group, "a")
    waiting = queue_up(group, ["b"], ["c", "d"], ["e"], ["f", "g", "h", "i"])
    store.gate.set()
    assert [caller.outcome() for caller in (leader, *waiting)] == [None] * 5
    assert store.transactions == [["a"], ["b", "c", "d"], ["e"], ["f", "g", "h", "i"]]


def test_failing_rows_do_not_fail_the_others() -> None:
    store = Store()
    group = GroupCommit(store.write)
    store.errors = {"c": DuplicateEventError("c"), "lead": DuplicateEventError("lead"), "odd": TypeError("odd")}
    first = begin(store, group, "a")
    waiting = queue_up(group, ["lead"], ["b"], ["c"], ["odd"], ["d"])
    store.gate.set()
    assert first.outcome() is None
    outcomes = [type(caller.outcome()) for caller in waiting]
    assert outcomes == [DuplicateEventError, type(None), DuplicateEventError, TypeError, type(None)]
    assert store.transactions == [["a"], ["b"], ["d"]]


def test_an_outage_is_raised_for_all_callers_after_one_attempt() -> None:
    store = Store()
    group = GroupCommit(store.write)
    tries: list[int] = []

    def write(rows: Sequence[Any]) -> None:
        tries.append(len(rows))
        if len(rows) > 1:
            raise DatabaseBusyError("locked")
        store.write(rows)

    group = GroupCommit(write)
    leader = begin(store, group, "a")
    waiting = queue_up(group, ["b"], ["c"], ["d"])
    store.gate.set()
    assert leader.outcome() is None
    errors = [caller.outcome() for caller in waiting]
    assert [str(error) for error in errors] == ["locked"] * 3
    assert len({id(error) for error in errors}) == 3  # each has a separate traceback
    assert tries == [1, 3]


def test_an_interrupted_leader_leaves_the_others_to_the_next_leader() -> None:
    store = Store()
    group = GroupCommit(store.write)
    store.errors = {"interrupted": KeyboardInterrupt()}
    first = begin(store, group, "a")
    waiting = queue_up(group, ["interrupted"], ["b"], ["c"])
    store.gate.set()
    assert first.outcome() is None
    assert [type(caller.outcome()) for caller in waiting] == [KeyboardInterrupt, type(None), type(None)]
    assert store.transactions == [["a"], ["b", "c"]]
    group.submit(["later"])
    assert store.transactions[-1] == ["later"]


class Interrupted:
    """A lock whose owner is interrupted while it waits."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def acquire(self) -> None:
        self.before()
        raise KeyboardInterrupt

    def release(self) -> None:
        pass


@pytest.mark.parametrize("made_leader", [False, True])
def test_a_caller_interrupted_while_waiting_does_not_block_others(
    made_leader: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    group = GroupCommit(store.write)
    first = begin(store, group, "a")
    other: list[Caller] = []

    def before() -> None:
        if made_leader:
            store.gate.set()
            first.outcome()
            monkeypatch.undo()
            other.append(Caller(group, "b"))
            until_waiting(group, 1)

    from recorder.gathering import group_commit  # noqa: PLC0415

    original = group_commit._Waiting.__init__

    def interrupted(self: Any, rows: Sequence[Any]) -> None:
        original(self, rows)
        self.turn = Interrupted(before)

    monkeypatch.setattr(group_commit._Waiting, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        group.submit(["never"])
    monkeypatch.undo()
    store.gate.set()
    assert first.outcome() is None
    assert [caller.outcome() for caller in other] == [None] * made_leader
    group.submit(["c"])
    assert store.transactions == [["a"], *([["b"]] if made_leader else []), ["c"]]


def test_a_forked_child_does_not_wait_for_threads_of_its_parent() -> None:
    store = Store()
    group = GroupCommit(store.write)
    leader = begin(store, group, "a")
    waiting = queue_up(group, ["b"])
    state = group._lock, group._has_leader, group._waiting
    group.after_fork_in_child()
    assert (group._has_leader, len(group._waiting)) == (False, 0)
    group._lock, group._has_leader, group._waiting = state  # restore the state: this process is the parent, too
    store.gate.set()
    assert [caller.outcome() for caller in (leader, *waiting)] == [None, None]


@settings(max_examples=25)
@given(
    threads=st.integers(2, 12), each=st.integers(1, 10), most_rows=st.integers(1, 20), bad=st.sets(st.integers(0, 119))
)
def test_every_row_is_written_once_and_every_error_reaches_its_caller(
    threads: int, each: int, most_rows: int, bad: set[int]
) -> None:
    store = Store()
    store.gate.set()
    store.errors = {number: DuplicateEventError(str(number)) for number in bad}
    group = GroupCommit(store.write, most_rows=most_rows)
    failed: list[int] = []

    def submit(first: int) -> None:
        for number in range(first, first + each):
            try:
                group.submit([number])
            except DuplicateEventError as error:
                failed.append(int(str(error)))

    running = [threading.Thread(target=submit, args=(number * each,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(SECONDS)
        assert not thread.is_alive()
    every = set(range(threads * each))
    assert sorted(row for rows in store.transactions for row in rows) == sorted(every - bad)
    assert sorted(failed) == sorted(every & bad)
