"""The responses to GraphQL requests: the result, or the reason of the rejection. They never contain a value."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from graphql import ExecutionResult, GraphQLError

from recorder import DatabaseUnavailableError, RecorderError
from telemetry import TelemetryError
from telemetry.logger import get_logger
from telemetry_ingest.errors import (
    AuthenticatorUnavailableError,
    BodyTooLargeError,
    BodyTooSlowError,
    InvalidCredentialsError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotPermittedError,
    TooManyRequestsError,
    UnsupportedMediaTypeError,
)
from telemetry_ingest.graphql.documents import InvalidDocumentError
from telemetry_ingest.graphql.schema import InvalidBatchError
from telemetry_ingest.graphql.variables import InvalidVariablesError

_RETRY_SECONDS: Final = 5
_CLOSE: Final = {"connection": "close"}
_REFUSALS: Final[Mapping[type[TelemetryError], tuple[HTTPStatus, str, Mapping[str, str]]]] = {
    MethodNotAllowedError: (HTTPStatus.METHOD_NOT_ALLOWED, "BAD_REQUEST", {"allow": "POST"}),
    UnsupportedMediaTypeError: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", _CLOSE),
    TooManyRequestsError: (HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", _CLOSE),
    BodyTooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TOO_LARGE", _CLOSE),
    BodyTooSlowError: (HTTPStatus.REQUEST_TIMEOUT, "TOO_SLOW", _CLOSE),
    InvalidCredentialsError: (HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", {"www-authenticate": "Bearer", **_CLOSE}),
    NotPermittedError: (HTTPStatus.FORBIDDEN, "FORBIDDEN", _CLOSE),
    AuthenticatorUnavailableError: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "UNAVAILABLE",
        {"retry-after": str(_RETRY_SECONDS), **_CLOSE},
    ),
}
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: Its status.
        body: Its body, as JSON.
        headers: Its headers, besides those that describe the body.
    """

    status: HTTPStatus
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def codes(self) -> Sequence[str]:
        """The codes of the errors in the body."""
        return [error["extensions"]["code"] for error in self.body.get("errors", ())]


def refusal(error: TelemetryError) -> Answer:
    """Return the response to a request that was rejected before execution."""
    if isinstance(error, InvalidDocumentError):
        return Answer(HTTPStatus.BAD_REQUEST, {"errors": [_document_error(each) for each in error.errors]})
    if isinstance(error, InvalidVariablesError):
        errors = [_error("INVALID_VARIABLE", str(fault), {"place": fault.place}) for fault in error.faults]
        return Answer(HTTPStatus.BAD_REQUEST, {"errors": errors})
    # By the class or a base class: a host's hook may raise subclasses.
    found = next((_REFUSALS[kind] for kind in type(error).__mro__ if kind in _REFUSALS), None)
    status, code, headers = found or (HTTPStatus.BAD_REQUEST, "BAD_REQUEST", {})
    if isinstance(error, TooManyRequestsError):
        headers = {**headers, "retry-after": str(math.ceil(error.retry_after))}
    if isinstance(error, AuthenticatorUnavailableError):
        _log.error("callers cannot be identified", problem=str(error))
    return Answer(status, {"errors": [_error(code, str(error))]}, headers)


def result(executed: ExecutionResult) -> Answer:
    """Return the response to an executed request: 503 for a database error that a retry may resolve, else 200."""
    if not executed.errors:
        return Answer(HTTPStatus.OK, {"data": executed.data})
    errors = [found for error in executed.errors for found in _execution_errors(error)]
    body = {"data": executed.data, "errors": errors}
    if any(isinstance(error.original_error, RecorderError) for error in executed.errors):
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, body, {"retry-after": str(_RETRY_SECONDS)})
    return Answer(HTTPStatus.OK, body)


def _error(code: str, message: str, extensions: Mapping[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    return {"message": message, **facts, "extensions": {"code": code, **(extensions or {})}}


def _document_error(error: GraphQLError) -> dict[str, Any]:
    places = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    return _error("INVALID_QUERY", error.message, locations=places)


def _execution_errors(error: GraphQLError) -> list[dict[str, Any]]:
    original, path = error.original_error, error.path
    if isinstance(original, InvalidBatchError):
        return [
            _error("INVALID_EVENT", str(fault), {"event": fault.event, "field": fault.field}, path=path)
            for fault in original.faults
        ]
    if isinstance(original, NotPermittedError):
        return [_error("FORBIDDEN", str(original), path=path)]
    if isinstance(original, InvalidRequestError):
        return [_error("BAD_REQUEST", str(original), path=path)]
    if isinstance(original, TelemetryError):
        _log.error("request failed", error=type(original).__name__, problem=str(original))
        # If the connection was lost, the events may have been stored anyway.
        unknown = isinstance(original, DatabaseUnavailableError)
        outcome = "it is unknown whether the events were recorded" if unknown else "nothing was recorded"
        return [_error("UNAVAILABLE", f"{original}; {outcome}", path=path)]
    if original is None or isinstance(original, GraphQLError):
        # SECURITY: graphql-core's own messages quote values, so replace them.
        return [_error("BAD_REQUEST", "a value has the wrong type", path=path)]
    _log.error("request failed unexpectedly", error=type(original).__name__)
    return [_error("INTERNAL", "unexpected error; see the service's log", path=path)]
