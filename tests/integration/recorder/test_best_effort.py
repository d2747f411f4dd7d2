"""The recorder for callers that must continue after a failure."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from recorder import BestEffortRecorder
from support.events import CANARY
from support.recorders import make_recorder, stored_names
from telemetry import EventParameters, NewEvent
from telemetry_store.database import Database


@pytest.fixture
def recorder(database: Database) -> BestEffortRecorder:
    return BestEffortRecorder(make_recorder(database))


def test_valid_events_are_recorded(database: Database, recorder: BestEffortRecorder) -> None:
    assert recorder.record("search", "submit") is not None
    assert len(recorder.batch_record([NewEvent("search", "submit")] * 0) or []) == 0
    assert stored_names(database) == (["search.submit"], ["search.submit"])


def test_a_failure_is_logged_in_one_line_without_values(database: Database, recorder: BestEffortRecorder) -> None:
    parameters = EventParameters(version=3, metadata={"n": CANARY}, private_metadata={CANARY: CANARY})  # type: ignore[dict-item]
    with capture_logs() as logs:
        assert recorder.record("search", "submit", parameters) is None
    assert logs == [
        {
            "event": "event not recorded",
            "log_level": "error",
            "feature": "search",
            "action": "submit",
            "parameters_version": 3,
            "error": "InvalidMetadataError",
            "problem": "metadata['n']: must be a number, not text; text belongs into private_metadata",
        }
    ]
    assert stored_names(database) == ([], [])


def test_objects_that_are_not_events_are_logged(database: Database, recorder: BestEffortRecorder) -> None:
    anything: list[Any] = [NewEvent("search", "submit"), CANARY, None]
    with capture_logs() as logs:
        assert recorder.batch_record(anything) is None
    assert [(line["feature"], line["error"]) for line in logs] == [
        ("search", "InvalidInputError"),
        ("(invalid)", "InvalidInputError"),
        ("(invalid)", "InvalidInputError"),
    ]
    assert CANARY not in str(logs)
    assert stored_names(database) == ([], [])


def test_an_invalid_name_is_not_logged(recorder: BestEffortRecorder) -> None:
    with capture_logs() as logs:
        assert recorder.batch_record([NewEvent.with_run_time_names(CANARY, CANARY)]) is None
    assert (logs[0]["feature"], logs[0]["action"]) == ("(invalid)", "(invalid)")
    assert CANARY not in str(logs)


def test_a_failing_batch_logs_each_event_and_stores_nothing(database: Database, recorder: BestEffortRecorder) -> None:
    bad = NewEvent("search", "bad", EventParameters(metadata={"": 1}))
    with capture_logs() as logs:
        assert recorder.batch_record([NewEvent("search", "good"), bad]) is None
    assert [line["action"] for line in logs] == ["good", "bad"]
    assert stored_names(database) == ([], [])


@pytest.mark.parametrize("parameters", [5, {"metadata": 1}, object()])
def test_parameters_of_any_type_do_not_raise(recorder: BestEffortRecorder, parameters: Any) -> None:
    with capture_logs() as logs:
        assert recorder.record("search", "submit", parameters) is None
    assert (logs[0]["error"], logs[0]["parameters_version"]) == ("InvalidParametersError", None)


def test_an_error_of_the_callers_code_is_logged_by_its_class_only(recorder: BestEffortRecorder) -> None:
    class Explosive(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError(CANARY)

    with capture_logs() as logs:
        assert recorder.record("search", "submit", EventParameters(private_metadata=Explosive(a=1))) is None
    assert (logs[0]["error"], logs[0]["problem"]) == (
        "InvalidParametersError",
        "parameters: could not be read (RuntimeError)",
    )
    assert CANARY not in str(logs)


def test_an_iterable_that_raises_does_not_raise_in_the_caller(recorder: BestEffortRecorder) -> None:
    def events() -> Iterator[NewEvent]:
        yield NewEvent("search", "submit")
        raise RuntimeError(CANARY)

    with capture_logs() as logs:
        assert recorder.batch_record(events()) is None
    assert len(logs) == 1


def test_closing_closes_the_recorder(database: Database, recorder: BestEffortRecorder) -> None:
    recorder.record("search", "submit")
    recorder.close()
    assert recorder.record("search", "submit") is not None  # opens a new connection
