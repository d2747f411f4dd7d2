"""The public ping URLs: each request that matches a package's route is recorded as an event."""

import math
from collections.abc import Iterable, MutableMapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, Protocol

from starlette.requests import ClientDisconnect

from telemetry import (
    Client,
    EventContext,
    EventParameters,
    EventTooLargeError,
    NewEvent,
    TelemetryError,
)
from telemetry.logger import get_logger
from telemetry.web.asgi import Receive, Scope, Send
from telemetry_ingest.body import read_body
from telemetry_ingest.collection.metrics import CollectionMetrics
from telemetry_ingest.collection.packages import CollectionPackage
from telemetry_ingest.collection.routes import RouteTable
from telemetry_ingest.collection.variables import KeptVariables
from telemetry_ingest.errors import BodyTooLargeError, BodyTooSlowError

MAX_BODY_BYTES: Final = 64 * 1024

_METHODS: Final = ("GET", "POST")
_CLOSE: Final = ((b"connection", b"close"),)
_log = get_logger(__name__)


class EventSink(Protocol):
    """Records the events, for example an `AsyncRecorder`."""

    async def batch_record(self, events: Iterable[NewEvent]) -> list[str]:
        """Store events durably, all or none, and return their ids; or raise."""
        ...


class RequestLimit(Protocol):
    """Limits the requests of a client."""

    def retry_after(self, scope: Scope) -> float | None:
        """Return after how many seconds the client can retry; None if the request is allowed."""
        ...


class _Collector:
    """Builds the events of one package."""

    def __init__(self, package: CollectionPackage, metrics: CollectionMetrics) -> None:
        self.package = package
        self._variables = KeptVariables(package.variables)
        self._context = EventContext(client=Client(package.name))
        self._undeclared = metrics.variables.labels(package.name, "undeclared")
        self._unstorable = metrics.variables.labels(package.name, "unstorable")
        self._partial_bodies = metrics.partial_bodies.labels(package.name)
        self.recorded, self.too_large, self.failed = (
            metrics.requests.labels(package.name, outcome) for outcome in ("recorded", "too_large", "failed")
        )

    def event(self, path: dict[str, str], query: str, body: bytes) -> NewEvent:
        """Build the event of a request."""
        reading = self._variables.read(path, query, body)
        if not reading.whole_body:
            self._partial_bodies.inc()
        if reading.undeclared:
            self._undeclared.inc(reading.undeclared)
        if reading.unstorable:
            self._unstorable.inc(reading.unstorable)
        return NewEvent.with_run_time_names(
            self.package.feature,
            self.package.action,
            # SECURITY: variables are private metadata, so they leave the instance only through the allowlist.
            EventParameters(private_metadata=reading.kept) if reading.kept else None,
            # SECURITY: nothing about the client is stored except the package: no address, no user agent.
            context=self._context,
        )


class CollectionEndpoint:
    """An ASGI application for all paths that no other route serves.

    Responds with 204 once the event is durable, and also to requests that are dropped: a user's tool must not fail
    because of our configuration. Responds with 503 if the event could not be stored.

    Args:
        packages: The event collection packages.
        recorder: Records the events.
        limit: Limits the requests of a client; None for no limit.
        body_timeout: Timeout for reading a body.
        metrics: The metrics of the endpoint.
    """

    def __init__(
        self,
        packages: Sequence[CollectionPackage],
        recorder: EventSink,
        *,
        limit: RequestLimit | None = None,
        body_timeout: timedelta = timedelta(seconds=10),
        metrics: CollectionMetrics | None = None,
    ) -> None:
        self.metrics = metrics or CollectionMetrics()
        self._recorder = recorder
        self._limit = limit
        self._body_timeout = body_timeout
        self._routes = RouteTable([(package.route, _Collector(package, self.metrics)) for package in packages])
        self._unmatched, self._too_large, self._too_slow, self._limited = (
            self.metrics.requests.labels("", outcome) for outcome in ("unmatched", "too_large", "too_slow", "limited")
        )
        self._failing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise ValueError(f"cannot serve {scope['type']}")
        if scope["method"] not in _METHODS:
            await _answer(send, HTTPStatus.METHOD_NOT_ALLOWED, ((b"allow", b"GET, POST"),))
            return
        if self._limit is not None and (wait := self._limit.retry_after(scope)) is not None:
            self._limited.inc()
            await _answer(send, HTTPStatus.TOO_MANY_REQUESTS, ((b"retry-after", str(math.ceil(wait)).encode()),))
            return
        try:
            body = await read_body(receive, max_bytes=MAX_BODY_BYTES, within=self._body_timeout)
        except ClientDisconnect:
            return
        except BodyTooLargeError:
            self._too_large.inc()
            await _answer(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _CLOSE)
            return
        except BodyTooSlowError:
            self._too_slow.inc()
            await _answer(send, HTTPStatus.REQUEST_TIMEOUT, _CLOSE)
            return
        await _answer(send, await self._collect(scope, body))

    async def _collect(self, scope: Scope, body: bytes) -> HTTPStatus:
        """Record a request and return the response status."""
        # The path as received, without the path where a host has mounted the application.
        path_below = scope["raw_path"].decode("utf-8", "replace").removeprefix(scope.get("root_path", ""))
        found = self._routes.match(path_below)
        if found is None:
            self._unmatched.inc()
            return HTTPStatus.NO_CONTENT
        collector, path = found
        event = collector.event(path, scope["query_string"].decode("utf-8", "replace"), body)
        try:
            await self._recorder.batch_record((event,))
        except EventTooLargeError:
            collector.too_large.inc()
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        except TelemetryError as error:
            collector.failed.inc()
            self._log_failure(error)
            return HTTPStatus.SERVICE_UNAVAILABLE
        collector.recorded.inc()
        if self._failing:
            self._failing = False
            _log.info("pings are stored again")
        return HTTPStatus.NO_CONTENT

    def _log_failure(self, error: TelemetryError) -> None:
        # Log once, not once per request: the metrics have the number.
        if not self._failing:
            self._failing = True
            _log.error("pings cannot be stored, and are answered 503", error=type(error).__name__, problem=str(error))


async def _answer(send: Send, status: HTTPStatus, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    start: MutableMapping[str, Any] = {"type": "http.response.start", "status": status, "headers": list(headers)}
    if status is not HTTPStatus.NO_CONTENT:
        start["headers"].append((b"content-length", b"0"))
    await send(start)
    await send({"type": "http.response.body", "body": b""})
