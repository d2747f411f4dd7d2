"""The table of export passes: reports are kept, and passes that sent nothing share a row."""

from datetime import UTC, datetime, timedelta

from telemetry_store.database import Database
from telemetry_store.export_runs import ExportRuns
from telemetry_store.pass_report import PassReport

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(number: int, *, outcome: str = "drained", leased: int = 0, problem: str | None = None) -> PassReport:
    at = START + timedelta(minutes=number)
    return PassReport(
        request_id=f"run-{number:04}", started_at=at, last_at=at, outcome=outcome, leased=leased, problem=problem
    )


def test_a_stored_pass_is_read_back_unchanged(database: Database) -> None:
    runs = ExportRuns(database)
    full = PassReport(
        request_id="0190b6a0-0000-7000-8000-000000000000", started_at=START, last_at=START + timedelta(seconds=2),
        outcome="outage", passes=1, duration=2.5, problem="gone", leased=9, streams=8, sent=7, acked=6, rejected=5,
        dead=4, held=3, remaining=2**40, bytes=2**41,
    )  # fmt: skip
    runs.add(full)
    assert runs.latest(10) == [full]


def test_passes_are_returned_latest_first(database: Database) -> None:
    runs = ExportRuns(database)
    for number in range(5):
        runs.add(run(number, leased=1))
    assert [each.request_id for each in runs.latest(2)] == ["run-0004", "run-0003"]


def test_passes_that_sent_nothing_and_ended_alike_share_a_row(database: Database) -> None:
    runs = ExportRuns(database)
    runs.add(run(0, leased=3))
    for number in range(1, 4):
        runs.add(run(number))
    runs.add(run(4, outcome="outage", problem="gone"))
    runs.add(run(5, outcome="outage", problem="gone"))
    runs.add(run(6, outcome="outage", problem="refused"))
    runs.add(run(7))
    runs.add(run(8, leased=1))
    runs.add(run(9, leased=1))
    found = [(each.request_id, each.passes, each.outcome) for each in reversed(runs.latest(100))]
    assert found == [
        ("run-0000", 1, "drained"),
        ("run-0001", 3, "drained"),
        ("run-0004", 2, "outage"),
        ("run-0006", 1, "outage"),
        ("run-0007", 1, "drained"),
        ("run-0008", 1, "drained"),
        ("run-0009", 1, "drained"),
    ]
    idle = runs.latest(6)[-1]
    assert (idle.started_at, idle.last_at) == (START + timedelta(minutes=1), START + timedelta(minutes=3))


def test_pruning_keeps_the_latest(database: Database) -> None:
    runs = ExportRuns(database)
    for number in range(10):
        runs.add(run(number, leased=1))
    assert runs.prune(keep=4) == 6
    assert [each.request_id for each in runs.latest(100)] == [f"run-{number:04}" for number in (9, 8, 7, 6)]
    assert runs.prune(keep=4) == 0


def test_a_long_problem_is_truncated(database: Database) -> None:
    runs = ExportRuns(database)
    runs.add(run(0, outcome="refused", problem="x" * 5_000))
    runs.add(run(1, outcome="refused", problem="x" * 5_000))
    (only,) = runs.latest(10)
    assert (only.problem, only.passes) == ("x" * 1_000, 2)
