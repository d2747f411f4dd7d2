"""GraphQL over HTTP, by POST requests."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from inspect import isawaitable
from typing import Any, Final

import orjson
from graphql import execute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from recorder import AsyncRecorder
from telemetry import EventContext, current_context
from telemetry.web.asgi import Receive, Scope, Send
from telemetry.web.request_context import RequestContext
from telemetry_ingest.auth import Caller, CallerAuthenticator, request_token
from telemetry_ingest.body import read_body
from telemetry_ingest.errors import (
    IngestError,
    InvalidCredentialsError,
    InvalidRequestError,
    MethodNotAllowedError,
    TooManyRequestsError,
    UnsupportedMediaTypeError,
)
from telemetry_ingest.graphql.answers import Answer, refusal, result
from telemetry_ingest.graphql.documents import Documents, operation_of
from telemetry_ingest.graphql.schema import GraphqlContext, load_schema
from telemetry_ingest.graphql.variables import check_variables
from telemetry_ingest.limits import AddressLimit
from telemetry_ingest.metrics import GraphQLMetrics
from telemetry_store.queue_reading import QueueReading

GRAPHQL_PATH: Final = "/.api/graphql"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQLLimits:
    """Limits of a request.

    Attributes:
        max_body_bytes: Maximum size of a body.
        body_timeout: Timeout for reading a body.
        max_events: Maximum number of events per request.
        anonymous: Whether callers without credentials may record.
    """

    max_body_bytes: int
    body_timeout: timedelta
    max_events: int
    anonymous: bool


class GraphQLEndpoint:
    """An ASGI application for `POST /.api/graphql`.

    Responds with 200 to an executed request, with `errors` if an event was invalid; 400 to an invalid request; 401,
    403, 405, 408, 413, 415 and 429 as HTTP defines them; 503 if the database or the hook failed and a retry may help.

    Args:
        recorder: Records the events.
        queue: Reads exported events.
        authenticator: The hook that authenticates callers.
        limits: Limits of a request.
        address_limit: Limits the requests of an address; None for no limit.
        metrics: The metrics of the endpoint.
    """

    def __init__(
        self,
        recorder: AsyncRecorder,
        queue: QueueReading,
        authenticator: CallerAuthenticator,
        *,
        limits: GraphQLLimits,
        address_limit: AddressLimit | None,
        metrics: GraphQLMetrics,
    ) -> None:
        self._recorder = recorder
        self._queue = queue
        self._authenticator = authenticator
        self._limits = limits
        self._address_limit = address_limit
        self._metrics = metrics
        self._schema = load_schema()
        self._documents = Documents(self._schema)
        self._headers: RequestContext[Scope] = RequestContext()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        began = time.perf_counter()
        try:
            answer = await self._answer(Request(scope, receive), receive)
        except ClientDisconnect:
            return
        self._metrics.requests.labels(str(answer.status.value)).inc()
        for code in answer.codes:
            self._metrics.refused.labels(code).inc()
        self._metrics.duration.observe(time.perf_counter() - began)
        headers = {"cache-control": "no-store", **answer.headers}
        response = Response(orjson.dumps(answer.body), answer.status, headers, "application/json")
        await response(scope, receive, send)

    async def _answer(self, request: Request, receive: Receive) -> Answer:
        limits = self._limits
        try:
            self._check_request(request)
            caller = await self._caller(request)
            body = await read_body(receive, max_bytes=limits.max_body_bytes, within=limits.body_timeout)
            return await self._execute(body, caller, request.scope)
        except (IngestError, InvalidRequestError) as error:
            return refusal(error)

    def _check_request(self, request: Request) -> None:
        """Check the request before reading its body.

        Raises:
            RefusedRequestError: The request is rejected.
        """
        if request.method != "POST":
            # SECURITY: no GET: queries would appear in URLs, and any site could make a browser send them.
            raise MethodNotAllowedError("use POST")
        if self._address_limit is not None and (wait := self._address_limit.retry_after(request.scope)) is not None:
            raise TooManyRequestsError(wait)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        # SECURITY: browsers send a CORS preflight before a page of another origin can send this content type.
        if media_type != "application/json" or "content-encoding" in request.headers:
            raise UnsupportedMediaTypeError("send application/json, uncompressed")

    async def _caller(self, request: Request) -> Caller | None:
        """Return the caller; None for an anonymous one.

        Raises:
            InvalidCredentialsError: The credentials are invalid, or missing and required.
            AuthenticatorUnavailableError: The hook cannot check them now.
        """
        caller = await self._authenticator.authenticate(request_token(request), request)
        # SECURITY: reject requests without credentials, unless the operator allows anonymous callers.
        if caller is None and not self._limits.anonymous:
            raise InvalidCredentialsError("send credentials: Authorization: Bearer TOKEN")
        return caller

    async def _execute(self, body: bytes, caller: Caller | None, scope: Scope) -> Answer:
        """Execute a request.

        Raises:
            InvalidRequestError: The request is invalid.
        """
        query, variables, operation_name = _read_request(body)
        document = self._documents.document(query)
        check_variables(self._schema, operation_of(document, operation_name), variables)
        context = GraphqlContext(
            caller=caller,
            base=self._base_context(scope, caller),
            recorder=self._recorder,
            queue=self._queue,
            max_events=self._limits.max_events,
            recorded=self._metrics.events,
        )
        executed = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(variables),
            operation_name=operation_name,
            hide_suggestions=True,
        )
        return result(await executed if isawaitable(executed) else executed)

    def _base_context(self, scope: Scope, caller: Caller | None) -> EventContext:
        found = self._headers.of(Headers(scope=dict(scope)).get, scope)()
        known = current_context()
        return replace(
            known,
            # SECURITY: the user id comes from the hook alone, never from the request.
            user_id=None if caller is None else caller.user_id,
            anonymous_user_id=found.anonymous_user_id or known.anonymous_user_id,
            interaction_id=found.interaction_id or known.interaction_id,
            feature_flags=known.feature_flags if caller is None else caller.feature_flags or known.feature_flags,
        )


def _read_request(body: bytes) -> tuple[str, Mapping[str, Any], str | None]:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InvalidRequestError("body", "must be one JSON object, in UTF-8")
    query, variables, name = given.get("query"), given.get("variables"), given.get("operationName")
    if not isinstance(query, str):
        raise InvalidRequestError("query", "must be text")
    if variables is not None and not isinstance(variables, dict):
        raise InvalidRequestError("variables", "must be an object")
    if name is not None and not isinstance(name, str):
        raise InvalidRequestError("operationName", "must be text")
    return query, variables or {}, name or None
