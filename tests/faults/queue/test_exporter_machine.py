"""Real exporters, a real queue, and a gateway with any behaviour: no event is lost or marked without reason."""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from prometheus_client import CollectorRegistry

from export import Exporter, ExportMetrics, PassOutcome, PassSettings
from recorder import DatabaseBusyError
from support.databases import ManualClock
from support.events import CANARY, sensitive_event
from support.fake_gateway import OUTCOMES, FakeGateway, Killed
from support.recorders import EXPORT_ALL, make_recorder
from support.sequences import SEQUENCES, empty_the_queue, open_without_syncing, sequences
from telemetry import EventParameters, NewEvent, Redactor
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue, Lease, export_queue

LEASE = timedelta(minutes=5)
SETTINGS = PassSettings(
    batch_size=1_000,
    lease=LEASE,
    chunk_bytes=200,  # two events, or one
    backoff=(timedelta(), timedelta()),
)
EXPORTERS = range(3)
PRIVATE = EventParameters(metadata={"n": 1}, private_metadata={"query": CANARY})


class MortalQueue(ExportQueue):
    """The queue of one process, which can be killed or find the database busy."""

    killed = False
    busy = 0

    def _check(self) -> None:
        if self.killed:
            raise Killed
        if self.busy:
            self.busy -= 1
            raise DatabaseBusyError("the database stayed locked by another writer")

    def lease(self, limit: int, duration: timedelta) -> Lease:
        self._check()
        return super().lease(limit, duration)

    def mark_exported(self, ids: Sequence[str]) -> int:
        self._check()
        return super().mark_exported(ids)

    def _update(self, statement: str, values: Any) -> int:
        if self.killed:
            raise Killed
        return super()._update(statement, values)


class ExporterMachine(RuleBasedStateMachine):
    """Three exporters, one gateway, and a clock that jumps."""

    database: Database  # set by the test

    @initialize()
    def begin(self) -> None:
        empty_the_queue(self.database)
        self.clock = ManualClock()
        self.recorder = make_recorder(self.database)
        self.recorded: set[str] = set()
        self.gateway = FakeGateway(self.meanwhile, self.recorded)
        self.queues: list[MortalQueue] = []
        self.exporters: list[Exporter] = []
        for number in EXPORTERS:
            self.queues.append(MortalQueue(self.database, clock=self.clock))
            self.exporters.append(self.new_exporter(number))
        self.at_work: list[int] = []
        self.late: set[int] = set()  # exporters at work whose lease has ended
        self.marks_may_miss = False

    def new_exporter(self, number: int) -> Exporter:
        return Exporter(
            self.queues[number], self.gateway, load_redactor=Redactor, load_policy=lambda: EXPORT_ALL,
            settings=SETTINGS,
            metrics=ExportMetrics(CollectorRegistry()), random=Random(number),
        )  # fmt: skip

    def meanwhile(self, what: str) -> None:
        at_work = self.at_work[-1]
        if what == "look":
            self.no_event_is_lost_or_marked_without_an_acknowledgement()
        elif what.startswith("exporter killed"):
            self.queues[at_work].killed = self.marks_may_miss = True
        elif what == "database busy":
            self.queues[at_work].busy = 2
            # An exporter does not retry a mark after its lease has ended: its events are sent again.
            self.marks_may_miss = self.marks_may_miss or at_work in self.late
        else:
            # The exporter is so slow that its lease ends, and another exporter leases the same events.
            self.clock.advance(seconds=LEASE.total_seconds() + 1)
            self.late.update(self.at_work)
            free = [number for number in EXPORTERS if number not in self.at_work]
            if free:
                self.run_pass(free[0])

    def run_pass(self, number: int) -> None:
        self.at_work.append(number)
        before = set(self.gateway.acknowledged)
        try:
            report = self.exporters[number].run_pass()
        except Killed:
            # A new process replaces it. The events that it had leased become due again.
            self.queues[number] = MortalQueue(self.database, clock=self.clock)
            self.exporters[number] = self.new_exporter(number)
        else:
            if not self.marks_may_miss:
                states = self.states()
                answered = self.gateway.acknowledged - before - self.gateway.rejected
                assert all(states[event_id][0] for event_id in answered if event_id in states)
                assert report.outcome is not PassOutcome.DATABASE
        finally:
            self.at_work.pop()
            self.late.discard(number)
            self.queues[number].busy = 0

    def states(self) -> dict[str, tuple[bool, str | None, int]]:
        """Return for each row whether it is exported, why it is a dead letter, and its attempts."""
        columns = export_queue.c
        with self.database.engine.connect() as connection:
            rows = connection.execute(
                export_queue.select().with_only_columns(
                    columns.id, columns.exported_at, columns.dead_reason, columns.attempts
                )
            ).all()
        return {str(row.id): (row.exported_at is not None, row.dead_reason, row.attempts) for row in rows}

    @rule(count=st.integers(1, 6))
    def record(self, count: int) -> None:
        self.recorded.update(self.recorder.batch_record([NewEvent("search", "submit", PRIVATE)] * count))

    @rule()
    def adopt_a_row_that_was_never_redacted(self) -> None:
        event = sensitive_event()
        with self.database.engine.begin() as connection:
            connection.execute(
                export_queue.insert().values(
                    id=event.id, timestamp=datetime.now(UTC), payload_pb=event.SerializeToString()
                )
            )
        self.recorded.add(event.id)

    @rule(number=st.sampled_from(EXPORTERS), plan=st.lists(st.sampled_from(OUTCOMES), max_size=8))
    def export(self, number: int, plan: list[str]) -> None:
        self.gateway.plan = deque(plan)
        self.marks_may_miss = False
        self.run_pass(number)

    @rule(number=st.sampled_from(EXPORTERS), passes=st.integers(2, 6))
    def export_to_a_gateway_that_says_nothing(self, number: int, passes: int) -> None:
        for _ in range(passes):
            self.export(number, ["say nothing"] * 20)
            self.clock.advance(hours=1)

    @rule(seconds=st.sampled_from([-600, -1, 1, 40, 301, 3_600, 86_400]))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule()
    def requeue_dead_letters(self) -> None:
        dead = [event_id for event_id, (_, reason, _) in self.states().items() if reason is not None]
        assert self.queues[0].requeue(dead) == len(dead)
        for event_id in dead:
            self.gateway.blame[event_id] = 0
            self.gateway.rejected.discard(event_id)

    @rule(limit=st.integers(1, 10))
    def clean(self, limit: int) -> None:
        self.queues[0].prune_exported(self.clock.now, limit)

    @invariant()
    def no_event_is_lost_or_marked_without_an_acknowledgement(self) -> None:
        if not hasattr(self, "recorded"):
            return
        states = self.states()
        cleaned = self.recorded - states.keys()
        counts = self.queues[0].counts()
        assert counts.cleaned == len(cleaned)
        assert counts.recorded == len(self.recorded)
        assert set(states) <= self.recorded
        gone = cleaned | {event_id for event_id, (exported, _, _) in states.items() if exported}
        assert gone <= self.gateway.acknowledged
        assert gone <= self.gateway.held
        for event_id, (exported, reason, attempts) in states.items():
            if exported:
                continue
            if reason is not None and reason.startswith("rejected"):
                assert event_id in self.gateway.rejected
                continue
            # Outages, kills and rejected calls do not count as failures of the event.
            assert attempts <= self.gateway.blame[event_id]
            assert (reason is not None) == (attempts >= SETTINGS.attempts_before_dead)

    @invariant()
    def nothing_private_left(self) -> None:
        if hasattr(self, "gateway"):
            assert CANARY.encode() not in self.gateway.raw

    def teardown(self) -> None:
        if not hasattr(self, "recorded"):
            return
        self.gateway.plan.clear()
        for _ in range(3):  # until leases and retries of three exporters have ended
            self.clock.advance(hours=2)
            self.run_pass(0)
        assert self.queues[0].counts().pending == 0
        dead = {event_id for event_id, (_, reason, _) in self.states().items() if reason is not None}
        assert self.recorded - dead <= self.gateway.held


@pytest.mark.timeout(120 + SEQUENCES)
def test_no_behaviour_of_the_gateway_loses_an_event(migrated_url: str) -> None:
    class Machine(ExporterMachine):
        pass

    with open_without_syncing(migrated_url) as database:
        Machine.database = database
        run_state_machine_as_test(Machine, settings=sequences(steps=15))
