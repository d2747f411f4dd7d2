"""The queue compared with a model: no sequence of actions of exporters, clocks and operators loses an event."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from support.databases import ManualClock
from support.recorders import make_recorder
from support.sequences import SEQUENCES, empty_the_queue, open_without_syncing, sequences
from telemetry import NewEvent
from telemetry.event import new_event_id
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue, Lease
from telemetry_store.queue_reading import QueueReading

MINUTE = timedelta(minutes=1)


def ids_of(lease: Lease) -> list[str]:
    return [event.id for event in lease.events]


class QueueMachine(RuleBasedStateMachine):
    """Any number of exporters, a clock that jumps, and a model of what the queue must hold."""

    database: Database  # set by the test

    @initialize()
    def begin(self) -> None:
        empty_the_queue(self.database)
        self.clock = ManualClock()
        self.queue = ExportQueue(self.database, clock=self.clock)
        self.recorder = make_recorder(self.database)
        self.due: dict[str, datetime] = {}  # unexported id -> when it is due
        self.attempts: dict[str, int] = {}
        self.exported: dict[str, datetime] = {}
        self.dead: set[str] = set()
        self.cleaned = 0
        self.leases: list[Lease] = []
        self.holder: dict[str, str] = {}  # id -> token of the last lease

    @rule(count=st.integers(1, 4))
    def record(self, count: int) -> None:
        for event_id in self.recorder.batch_record(NewEvent("search", "submit") for _ in range(count)):
            self.due[event_id] = datetime.min.replace(tzinfo=UTC)
            self.attempts[event_id] = 0

    @rule(limit=st.integers(1, 5))
    def lease(self, limit: int) -> None:
        lease = self.queue.lease(limit, MINUTE)
        due = {event_id for event_id, moment in self.due.items() if moment <= self.clock.now}
        assert {event.id for event in lease.events} <= due
        assert len(lease.events) == min(limit, len(due))
        for event in lease.events:
            assert event.attempts == self.attempts[event.id]
            self.due[event.id] = self.clock.now + MINUTE
            self.holder[event.id] = lease.token
        self.leases.append(lease)

    @rule(seconds=st.integers(-30, 120) | st.sampled_from([-7_200, 7_200]))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule()
    def crash(self) -> None:
        """Kill all exporters, and open the queue again."""
        self.leases.clear()
        self.queue = ExportQueue(self.database, clock=self.clock)

    def some(self, data: Any) -> tuple[Lease, list[str]] | None:
        if not self.leases:
            return None
        lease = data.draw(st.sampled_from(self.leases))
        ids = ids_of(lease)
        return lease, data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []

    def held(self, lease: Lease, ids: list[str]) -> list[str]:
        return [event_id for event_id in ids if event_id in self.due and self.holder.get(event_id) == lease.token]

    @rule(data=st.data())
    def acknowledge(self, data: Any) -> None:
        if chosen := self.some(data):  # any lease ever made: late acknowledgements too
            _, ids = chosen
            known = [event_id for event_id in ids if event_id in self.due or event_id in self.dead]
            # An id that was never recorded changes nothing, and does not affect the other ids.
            assert self.queue.mark_exported([*ids, new_event_id()]) == len(known)
            for event_id in known:
                self.due.pop(event_id, None)
                self.dead.discard(event_id)
                self.holder.pop(event_id, None)
                self.exported[event_id] = self.clock.now

    @rule(data=st.data(), outcome=st.sampled_from(["release", "fail", "postpone", "set_aside"]))
    def give_back(self, data: Any, outcome: str) -> None:
        chosen = self.some(data)
        if chosen is None:
            return
        lease, ids = chosen
        held = self.held(lease, ids)
        later = self.clock.now + MINUTE
        changed = {
            "release": lambda: self.queue.release(lease, ids),
            "fail": lambda: self.queue.fail(lease, ids, later),
            "postpone": lambda: self.queue.postpone(lease, ids, later),
            "set_aside": lambda: self.queue.set_aside(lease, dict.fromkeys(ids, "x: y")),
        }[outcome]()
        assert changed == len(held)
        for event_id in held:
            del self.holder[event_id]
            if outcome == "set_aside":
                del self.due[event_id]
                self.dead.add(event_id)
                continue
            self.due[event_id] = datetime.min.replace(tzinfo=UTC) if outcome == "release" else later
            self.attempts[event_id] += outcome == "fail"

    @rule(data=st.data())
    def requeue(self, data: Any) -> None:
        if self.dead:
            event_id = data.draw(st.sampled_from(sorted(self.dead)))
            assert self.queue.requeue([event_id]) == 1
            self.dead.remove(event_id)
            self.due[event_id] = datetime.min.replace(tzinfo=UTC)
            self.attempts[event_id] = 0

    @rule(limit=st.integers(1, 5))
    def clean(self, limit: int) -> None:
        old = [event_id for event_id, moment in self.exported.items() if moment < self.clock.now]
        pruned = self.queue.prune_exported(self.clock.now, limit)
        assert pruned == min(limit, len(old))
        for event_id in sorted(old, key=lambda event_id: self.exported[event_id])[:pruned]:
            del self.exported[event_id]
        # The database chooses among equally old rows.
        self.exported = {event.id: event.exported_at for event in QueueReading(self.database).exported(1_000)}
        self.cleaned += pruned

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "queue"):
            counts = self.queue.counts()
            assert (counts.pending, counts.exported, counts.dead, counts.cleaned) == (
                len(self.due),
                len(self.exported),
                len(self.dead),
                self.cleaned,
            )


@pytest.mark.timeout(120 + SEQUENCES)
def test_no_sequence_loses_an_event(migrated_url: str) -> None:
    class Machine(QueueMachine):
        pass

    with open_without_syncing(migrated_url) as database:
        Machine.database = database
        run_state_machine_as_test(Machine, settings=sequences(steps=25))
