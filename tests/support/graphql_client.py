"""A minimal GraphQL client, and an ingest service in this process."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from recorder import AsyncRecorder
from telemetry_ingest import Caller, CallerAuthenticator, IngestSettings, InvalidCredentialsError, create_app
from telemetry_store.database import Database

RECORD = (
    "mutation RecordTelemetryEvents($events: [TelemetryEventInput!]!) "
    "{ telemetry { recordEvents(events: $events) { alwaysNil } } }"
)
PATH = "/.api/graphql?RecordTelemetryEvents"
RECORDED = {"data": {"telemetry": {"recordEvents": {"alwaysNil": None}}}}


def client_event(**changes: Any) -> dict[str, Any]:
    """Return an event in the format of clients."""
    return {
        "feature": "search.results",
        "action": "submit",
        "source": {"client": "vscode", "clientVersion": "1.2.3"},
        "parameters": {"version": 1},
        **changes,
    }


class KnownTokens:
    """A host's authentication hook with fixed tokens; a request without a token has no caller."""

    def __init__(self, **callers: Caller) -> None:
        self.callers = callers

    async def authenticate(self, token: str | None, request: object) -> Caller | None:
        if token is None:
            return None
        if token not in self.callers:
            raise InvalidCredentialsError("invalid token")
        return self.callers[token]


class IngestClient:
    """Sends requests to an application in this process.

    Attributes:
        app: The application.
        registry: The registry of its metrics.
    """

    def __init__(self, app: Starlette, registry: CollectorRegistry) -> None:
        self.app = app
        self.registry = registry
        self._runner = asyncio.Runner()
        transport = httpx2.ASGITransport(app)
        self._http = httpx2.AsyncClient(transport=transport, base_url="http://ingest.test")
        self._lifespan = app.router.lifespan_context(app)
        self._runner.run(self._lifespan.__aenter__())

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self._runner.run(self._http.request(method, path, **options))

    def post(self, content: Any, headers: Mapping[str, str] | None = None, path: str = PATH) -> httpx2.Response:
        """Post a body, as bytes or encoded as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.request("POST", path, content=body, headers={"content-type": "application/json", **(headers or {})})

    def record(self, *events: Any, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """Record events."""
        return self.post({"query": RECORD, "variables": {"events": list(events)}}, headers)

    def record_at_once(self, events: Sequence[Any]) -> list[httpx2.Response]:
        """Record each event in a separate request, all of them concurrently."""

        async def send(event: Any) -> httpx2.Response:
            return await self._http.post(PATH, json={"query": RECORD, "variables": {"events": [event]}})

        async def send_all() -> list[httpx2.Response]:
            return list(await asyncio.gather(*map(send, events)))

        return self._runner.run(send_all())

    def query(self, query: str, headers: Mapping[str, str] | None = None, **variables: Any) -> Any:
        """Execute a query, and return the JSON of the response."""
        return self.post({"query": query, "variables": variables}, headers).json()


@contextmanager
def ingest_client(
    database: Database,
    *,
    authenticator: CallerAuthenticator | None = None,
    recorder: AsyncRecorder | None = None,
    **settings: Any,
) -> Iterator[IngestClient]:
    """Run an ingest service on a database, with its lifespan; anonymous callers may record, all events may leave."""
    registry = CollectorRegistry()
    given: dict[str, Any] = {"anonymous": True, "export_mode": "all"} | settings
    app = create_app(
        IngestSettings.load(**given),
        database=database,
        recorder=recorder,
        authenticator=authenticator,
        registry=registry,
    )
    client = IngestClient(app, registry)
    try:
        yield client
    finally:
        client.close()


def messages(answer: httpx2.Response) -> list[str]:
    """Return the messages of the errors in a response."""
    return [error["message"] for error in answer.json()["errors"]]
