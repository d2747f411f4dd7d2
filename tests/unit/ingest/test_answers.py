from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLError

from recorder import DatabaseBusyError, DatabaseUnavailableError, RecorderError
from telemetry_ingest.errors import TooManyRequestsError
from telemetry_ingest.graphql.answers import refusal, result


@pytest.mark.parametrize(("seconds", "errors"), [(0.02, "1"), (1.2, "2"), (3.0, "3")])
def test_retry_after_is_rounded_up(seconds: float, errors: str) -> None:
    assert refusal(TooManyRequestsError(seconds)).headers["retry-after"] == errors


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DatabaseBusyError("the database stayed locked"), "nothing was recorded"),
        (DatabaseUnavailableError("the connection broke"), "it is unknown whether the events were recorded"),
    ],
)
def test_an_unknown_outcome_is_reported_as_unknown(error: RecorderError, outcome: str) -> None:
    answer = result(ExecutionResult(None, [GraphQLError("", original_error=error)]))

    errors: Any = answer.body["errors"]
    assert answer.status == 503
    assert errors[0]["message"] == f"{error}; {outcome}"
