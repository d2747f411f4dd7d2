"""The report of each pass is stored in the database; failing to store it does not fail the pass."""

from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from export import PassOutcome
from support.databases import ManualClock
from support.recorders import make_recorder
from telemetry import ExportMode, ExportPolicy, NewEvent
from telemetry_store.database import Database
from telemetry_store.errors import DatabaseBusyError
from telemetry_store.export_runs import ExportRuns
from telemetry_store.pass_report import PassReport
from telemetry_testing import Refuse, ScriptedGateway


class _NoRuns(ExportRuns):
    def add(self, run: PassReport) -> None:
        raise DatabaseBusyError("the database stayed locked")


@pytest.fixture
def runs(database: Database) -> ExportRuns:
    return ExportRuns(database)


def test_a_pass_that_moved_events_is_stored_completely(
    database: Database, runs: ExportRuns, clock: ManualClock, make_exporter: Any
) -> None:
    make_recorder(database).batch_record([NewEvent("search", "submit")] * 3)
    report = make_exporter(runs=runs).run_pass()
    assert runs.latest(10) == [report]
    assert (report.started_at, report.last_at) == (clock.now, clock.now)
    (noted,) = runs.latest(10)
    assert (noted.request_id, noted.outcome, noted.acked, noted.remaining) == (report.request_id, "drained", 3, 0)
    assert noted.bytes == report.bytes > 0


def test_passes_without_events_share_one_row(runs: ExportRuns, make_exporter: Any) -> None:
    exporter = make_exporter(runs=runs)
    for _ in range(5):
        exporter.run_pass()
    assert [(run.outcome, run.passes) for run in runs.latest(10)] == [("drained", 5)]


def test_a_failed_pass_is_stored_with_its_problem(
    database: Database, runs: ExportRuns, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    make_recorder(database).record("search", "submit")

    def refuse(stream: int, headers: dict[str, str]) -> None:
        raise Refuse(grpc.StatusCode.UNIMPLEMENTED, "not here")

    gateway.at_start = refuse
    report = make_exporter(runs=runs).run_pass()
    (noted,) = runs.latest(10)
    assert (noted.outcome, noted.problem, noted.remaining) == ("refused", report.problem, 1)
    assert "not here" in (noted.problem or "")


def test_a_pass_with_export_off_is_stored(runs: ExportRuns, make_exporter: Any) -> None:
    policy = ExportPolicy(export_mode=ExportMode.parse("none"))
    make_exporter(runs=runs, policy=policy).run_pass()
    (noted,) = runs.latest(10)
    assert noted.outcome == "off"
    assert noted.problem


def test_a_pass_that_cannot_be_stored_has_not_failed(database: Database, make_exporter: Any) -> None:
    make_recorder(database).record("search", "submit")
    with capture_logs() as logs:
        report = make_exporter(runs=_NoRuns(database)).run_pass()
    assert (report.outcome, report.acked) == (PassOutcome.DRAINED, 1)
    assert [(log["log_level"], log["request_id"]) for log in logs if log["event"] == "export pass not noted"] == [
        ("warning", report.request_id)
    ]
