import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from support.databases import ManualClock
from support.recorders import make_recorder
from telemetry import ExportMode, ExportPolicy, NewEvent
from telemetry_store.audit import Audit, Auditor, Place
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.event_logs import prune_event_logs
from telemetry_store.export_ledger import hash_of_name
from telemetry_store.export_queue import ExportQueue

MINUTE = timedelta(minutes=1)
DAY = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


def at(moment: datetime = DAY, action: str = "submit") -> NewEvent:
    return NewEvent.with_run_time_names("search.results", action, timestamp=moment)


def by_hand(database: Database, statement: str) -> int:
    with database.engine.begin() as connection:
        return connection.exec_driver_sql(statement).rowcount


def place(missing: int, day: str = "20260131", name: str = "search.results.submit") -> Place:
    return Place(day, hash_of_name(name), name, missing)


def test_an_empty_database_is_balanced(database: Database) -> None:
    found = Auditor(database).audit()
    assert found.balanced
    assert (found.recorded, found.expected, found.days_counted) == (0, 0, True)


def test_every_final_state_is_counted_on_both_sides(database: Database, clock: ManualClock) -> None:
    queue = ExportQueue(database, clock=clock)
    recorder = make_recorder(database)
    ids = recorder.batch_record([at()] * 8)
    unlogged = recorder.batch_record([at()] * 4, without_event_logs=True)
    make_recorder(database, policy=ExportPolicy(export_mode=ExportMode())).record("search", "submit")
    lease = queue.lease(20, MINUTE)
    queue.mark_exported([*ids[:3], *unlogged[:1]])
    queue.set_aside(lease, dict.fromkeys([*ids[3:6], *unlogged[1:3]], "x: y"))
    queue.drop([*ids[3:5], unlogged[1]])
    clock.advance(hours=1)
    queue.mark_exported([ids[6]])
    queue.prune_exported(clock.now, 100)
    prune_event_logs(database, DAY + MINUTE, 3)
    found = Auditor(database, rows_at_a_time=2).audit()
    assert found == Audit(
        pending=2, exported=1, dead=2, cleaned=4, dropped=3, event_logs=5, event_logs_pruned=3, unlogged=4,
        adopted_event_logs=0, adopted_queue=0, days_counted=True,
    )  # fmt: skip
    assert found.balanced
    assert found.recorded == found.expected == 12


def test_a_row_deleted_from_the_queue_by_hand_is_found(database: Database) -> None:
    recorder = make_recorder(database)
    recorder.batch_record([at(), at(DAY + MINUTE), at(action="view")])
    by_hand(database, "DELETE FROM telemetry_events_export_queue WHERE timestamp < '2026-02-01 00:00:00+00'")
    recorder.batch_record([at(DAY + MINUTE)])
    found = Auditor(database).audit()
    assert (found.balanced, found.missing_from_queue) == (False, 2)
    assert sorted(found.places, key=lambda each: str(each.name)) == [place(1), place(1, name="search.results.view")]


def test_a_row_deleted_from_event_logs_by_hand_is_found(database: Database) -> None:
    make_recorder(database).batch_record([at(), at(action="view")])
    by_hand(database, "DELETE FROM event_logs WHERE name = 'search.results.view'")
    found = Auditor(database).audit()
    assert found.missing_from_queue == -1
    assert found.places == (place(-1, name="search.results.view"),)


def test_a_missing_row_is_found_after_all_others_were_cleaned_up(database: Database, clock: ManualClock) -> None:
    queue = ExportQueue(database, clock=clock)
    ids = make_recorder(database).batch_record([at(action=action) for action in ["submit", "view"] * 20])
    by_hand(database, f"DELETE FROM telemetry_events_export_queue WHERE id = '{ids[7]}'")
    queue.mark_exported(ids)
    clock.advance(days=2)
    queue.prune_exported(clock.now, 100)
    assert Auditor(database).audit().places == (place(1, name="search.results.view"),)
    prune_event_logs(database, DAY + MINUTE, 100)  # both tables are empty now, but the ledger has the counts
    found = Auditor(database).audit()
    assert (found.event_logs, found.exported, found.missing_from_queue) == (0, 0, 1)
    assert found.places == (Place("20260131", hash_of_name("search.results.view"), None, 1),)


def test_faults_that_cancel_out_in_the_total_are_found_by_day(database: Database) -> None:
    make_recorder(database).batch_record([at(), at(DAY + MINUTE)])
    by_hand(database, "DELETE FROM telemetry_events_export_queue WHERE timestamp < '2026-02-01 00:00:00+00'")
    by_hand(database, "DELETE FROM event_logs WHERE timestamp >= '2026-02-01 00:00:00+00'")
    found = Auditor(database).audit()
    assert (found.missing_from_queue, found.balanced) == (0, False)
    assert found.places == (place(1), place(-1, day="20260201"))


def test_accepted_differences_are_not_reported_but_later_ones_are(database: Database) -> None:
    recorder = make_recorder(database)
    recorder.batch_record([at()] * 3)
    by_hand(database, "DELETE FROM telemetry_events_export_queue")
    auditor = Auditor(database)
    assert auditor.accept().missing_from_queue == 3
    assert auditor.audit().balanced
    recorder.batch_record([at(), at(DAY + MINUTE)])
    assert auditor.audit().balanced
    by_hand(database, "DELETE FROM telemetry_events_export_queue WHERE timestamp < '2026-02-01 00:00:00+00'")
    assert auditor.audit().places == (place(1),)
    assert auditor.accept().missing_from_queue == 1
    assert auditor.audit().balanced


def adopt(database: Database) -> None:
    """Leaves rows as the original system could have, and baselines as the migration would set."""
    recorder = make_recorder(database)
    recorder.batch_record([at(action="old")] * 5)
    by_hand(database, "DELETE FROM event_logs WHERE id <= 2")
    for entry, events in (("adopted_event_logs", 3), ("adopted_queue", 5)):
        by_hand(database, f"INSERT INTO telemetry_export_ledger (entry, events) VALUES ('{entry}', {events})")


def test_the_total_of_an_adopted_database_is_balanced(database: Database) -> None:
    adopt(database)
    auditor = Auditor(database)
    found = auditor.audit()
    assert found.balanced
    assert (found.recorded, found.expected, found.days_counted, found.places) == (5, 5, False, ())
    make_recorder(database).batch_record([at()] * 2)
    assert auditor.audit().balanced
    by_hand(database, "DELETE FROM event_logs WHERE name = 'search.results.submit'")
    assert auditor.audit().missing_from_queue == -2


def test_an_adopted_database_with_accepted_differences_balances_day_by_day(database: Database) -> None:
    adopt(database)
    auditor = Auditor(database)
    accepted = auditor.accept()
    assert (accepted.missing_from_queue, accepted.places) == (0, (place(-2, name="search.results.old"),))
    found = auditor.audit()
    assert (found.balanced, found.days_counted) == (True, True)
    make_recorder(database).batch_record([at(), at(DAY + MINUTE)])
    by_hand(database, "DELETE FROM telemetry_events_export_queue WHERE timestamp >= '2026-02-01 00:00:00+00'")
    by_hand(
        database, "DELETE FROM event_logs WHERE timestamp < '2026-02-01 00:00:00+00' AND name = 'search.results.submit'"
    )
    assert auditor.audit().places == (place(-1), place(1, day="20260201"))


def test_progress_is_reported_until_all_rows_are_read(database: Database) -> None:
    make_recorder(database).batch_record([at()] * 7)
    told: list[tuple[int, int]] = []
    Auditor(database, rows_at_a_time=3).audit(lambda done, total: told.append((done, total)))
    assert told == [(done, 14) for done in (3, 6, 7, 10, 13, 14)]


def test_an_event_that_cannot_be_parsed_is_reported(database: Database) -> None:
    make_recorder(database).batch_record([at()])
    nonsense = "X'ff'" if database.dialect.name == "sqlite" else r"'\xff'"
    by_hand(database, f"UPDATE telemetry_events_export_queue SET payload_pb = {nonsense}")
    assert Auditor(database).audit().balanced
    by_hand(database, "DELETE FROM event_logs")
    assert Auditor(database).audit().places == (Place("20260131", hash_of_name(""), "", -1),)


def test_an_audit_is_balanced_during_concurrent_activity(migrated_url: str, database: Database) -> None:
    """Recorders, an exporter and two cleanups run; every audit meanwhile is balanced."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def again(work: Callable[[Database], None]) -> threading.Thread:
        def run() -> None:
            own = Database(create_database_engine(migrated_url))
            try:
                while not stop.is_set():
                    work(own)
            except BaseException as error:  # noqa: BLE001 - asserted below
                errors.append(error)
            finally:
                own.close()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def record(own: Database) -> None:
        make_recorder(own).batch_record([at(DAY + MINUTE * n) for n in range(3)])
        make_recorder(own).record("search", "submit", without_event_logs=True)

    def export(own: Database) -> None:
        queue = ExportQueue(own)
        lease = queue.lease(50, MINUTE)
        ids = [event.id for event in lease.events]
        # Some of each lease, even of a small one: an exporter that keeps up never leases many.
        queue.mark_exported(ids[2:])
        queue.set_aside(lease, dict.fromkeys(ids[:2], "x: y"))
        queue.drop(ids[:1])

    def clean(own: Database) -> None:
        ExportQueue(own).prune_exported(datetime.now(UTC), 5)
        prune_event_logs(own, DAY + MINUTE, 2)

    threads = [again(work) for work in (record, record, export, clean, clean)]
    try:
        auditor = Auditor(database, rows_at_a_time=50)
        audits = [auditor.audit()]
        # On a slow machine, a thread that the others starve gets the time that it needs.
        while len(audits) < 20 or not (audits[-1].cleaned and audits[-1].event_logs_pruned and audits[-1].dead):
            audits.append(auditor.audit())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert [found for found in audits if not found.balanced] == []
    assert audits[-1].recorded > audits[0].recorded


class AuditMachine(RuleBasedStateMachine):
    """Every operation keeps the audit balanced; a row deleted by hand is missing until it is accepted."""

    database: Database  # set by the test

    @initialize()
    def begin(self) -> None:
        for table in ("telemetry_events_export_queue", "telemetry_export_ledger", "event_logs"):
            by_hand(self.database, f"DELETE FROM {table}")
        self.clock = ManualClock()
        self.queue = ExportQueue(self.database, clock=self.clock)
        self.auditor = Auditor(self.database, rows_at_a_time=3)
        self.recorder = make_recorder(self.database)
        self.ids: list[str] = []
        self.missing: dict[tuple[str, str], int] = {}

    @rule(day=st.integers(0, 2), action=st.sampled_from(["aa", "bb"]), logged=st.booleans(), count=st.integers(1, 3))
    def record(self, day: int, action: str, logged: bool, count: int) -> None:
        event = at(DAY + timedelta(days=day), action)
        self.ids += self.recorder.batch_record([event] * count, without_event_logs=not logged)

    @rule(data=st.data(), count=st.integers(1, 3))
    def export(self, data: Any, count: int) -> None:
        self.queue.mark_exported(data.draw(st.lists(st.sampled_from(self.ids), max_size=count)) if self.ids else [])

    @rule(count=st.integers(1, 3))
    def die(self, count: int) -> None:
        lease = self.queue.lease(count, MINUTE)
        self.queue.set_aside(lease, dict.fromkeys([event.id for event in lease.events], "x: y"))

    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        self.queue.drop(data.draw(st.lists(st.sampled_from(self.ids))) if self.ids else [])

    @rule(data=st.data())
    def requeue(self, data: Any) -> None:
        self.queue.requeue(data.draw(st.lists(st.sampled_from(self.ids))) if self.ids else [])

    @rule(limit=st.integers(1, 4))
    def clean(self, limit: int) -> None:
        self.clock.advance(seconds=1)
        self.queue.prune_exported(self.clock.now, limit)

    @rule(day=st.integers(0, 3), limit=st.integers(1, 4))
    def prune(self, day: int, limit: int) -> None:
        prune_event_logs(self.database, DAY + timedelta(days=day), limit)

    @rule(queue=st.booleans(), day=st.integers(0, 2), action=st.sampled_from(["aa", "bb"]))
    def delete_by_hand(self, queue: bool, day: int, action: str) -> None:
        moment = DAY + timedelta(days=day)
        between = f"timestamp >= '{moment:%Y-%m-%d} 00:00:00+00' AND timestamp < '{moment:%Y-%m-%d} 23:59:59.9+00'"
        if queue:
            # Of one type at a time: the queue has no column for it, so the test uses what it recorded.
            payloads = self.queue.payloads(self.ids)
            ids = [i for i in self.ids if i in payloads and f"\x22\x02{action}".encode() in payloads[i]]
            listed = ",".join(f"'{each}'" for each in ids) or "NULL"
            deleted = by_hand(
                self.database,
                f"DELETE FROM telemetry_events_export_queue WHERE in_event_logs AND id IN ({listed}) AND {between}",
            )
        else:
            deleted = -by_hand(
                self.database, f"DELETE FROM event_logs WHERE name = 'search.results.{action}' AND {between}"
            )
        key = (f"{moment:%Y%m%d}", hash_of_name(f"search.results.{action}"))
        self.missing[key] = self.missing.get(key, 0) + deleted

    @rule()
    def accept(self) -> None:
        self.auditor.accept()
        self.missing = {}

    @invariant()
    def only_what_was_done_by_hand_is_missed(self) -> None:
        if hasattr(self, "missing"):
            found = self.auditor.audit()
            expected = {key: events for key, events in self.missing.items() if events}
            days: dict[str, int] = {}
            for (day, _), events in expected.items():
                days[day] = days.get(day, 0) + events
            # Differences that cancel out within one day are not found: the total of the day is balanced.
            seen = {key: events for key, events in expected.items() if days[key[0]]}
            assert {(place.day, place.type_hash): place.missing_from_queue for place in found.places} == seen
            assert found.missing_from_queue == sum(expected.values())


def test_no_sequence_of_events_unbalances_an_audit(database: Database) -> None:
    class Machine(AuditMachine):
        pass

    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=15, stateful_step_count=20, suppress_health_check=list(HealthCheck)),
    )


@pytest.mark.parametrize("statement", ["event_logs", "queue"])
def test_a_chunk_is_read_by_the_primary_key(database: Database, statement: str) -> None:
    sql = Auditor(database)._sql[statement]
    values = {"after": 0 if statement == "event_logs" else "00000000-0000-0000-0000-000000000000", "limit": 10}
    with database.engine.connect() as connection:
        if database.dialect.name == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {sql}", values).all()
    text = str(plan)
    assert any(key in text for key in ("_pkey", "sqlite_autoindex", "INTEGER PRIMARY KEY"))
