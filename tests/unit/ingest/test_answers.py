from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLError

from recorder import DatabaseBusyError, DatabaseUnavailableError, RecorderError
from telemetry_ingest.errors import TooManyRequestsError
from telemetry_ingest.graphql.answers import refusal, result


@pytest.mark.parametrize(("seconds", "told"), [(0.02, "1"), (1.2, "2"), (3.0, "3")])
def test_who_comes_back_when_told_does_not_come_too_early(seconds: float, told: str) -> None:
    assert refusal(TooManyRequestsError(seconds)).headers["retry-after"] == told


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DatabaseBusyError("the database stayed locked"), "nothing was recorded"),
        (DatabaseUnavailableError("the connection broke"), "whether the events were recorded is not known"),
    ],
)
def test_that_nothing_was_recorded_is_said_only_where_it_is_known(error: RecorderError, outcome: str) -> None:
    answer = result(ExecutionResult(None, [GraphQLError("", original_error=error)]))

    told: Any = answer.body["errors"]
    assert answer.status == 503
    assert told[0]["message"] == f"{error}; {outcome}"
