"""GraphQL over HTTP: accepted requests, requests rejected before execution, and metrics."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query
from structlog.testing import capture_logs

from recorder import AsyncRecorder
from support.graphql_client import PATH, RECORD, RECORDED, IngestClient, client_event, ingest_client, messages
from support.recorders import logged, make_recorder
from telemetry.web.asgi import App
from telemetry_ingest.graphql.documents import Documents
from telemetry_ingest.graphql.schema import load_schema
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"])

SECRET = "SECRET-5d1f"
BODY = {"query": RECORD, "variables": {"events": [client_event()]}}


@pytest.fixture
def client(database: Database) -> Iterator[IngestClient]:
    with ingest_client(database, cors_origins="https://app.test,https://other.test:8443", max_body_bytes=4096) as made:
        yield made


@pytest.mark.parametrize("path", ["/.api/graphql", PATH, "/.api/graphql?RecordTelemetryEvents&x=1", "/.api/graphql?"])
def test_any_bare_query_key_is_accepted(client: IngestClient, path: str) -> None:
    assert client.post(BODY, path=path).json() == RECORDED


def test_the_schema_supports_introspection(client: IngestClient) -> None:
    found = client.query(get_introspection_query(input_value_deprecation=True))
    assert "errors" not in found
    told = build_client_schema(found["data"])
    assert set(told.type_map) == set(load_schema().type_map)
    assert str(told.type_map["TelemetryEventMetadataInput"].fields["value"].type) == "JSONValue!"  # type: ignore[attr-defined]


def test_the_operation_name_selects_the_operation(client: IngestClient) -> None:
    query = f"query Other {{ __typename }} {RECORD}"
    variables = {"events": [client_event()]}
    named = {"query": query, "variables": variables, "operationName": "RecordTelemetryEvents"}
    assert client.post(named).json() == RECORDED
    for body in (
        {"query": query},
        {"query": query, "operationName": "None"},
        {"query": "fragment F on Query { __typename }"},
    ):
        assert client.post(body).status_code == 400


def test_events_can_be_literals_of_the_query(client: IngestClient, database: Database) -> None:
    def inline(value: str) -> str:
        event = (
            f'feature: "a.b", action: "go", source: {{client: "x"}}, parameters: {{version: 1, metadata: [{value}]}}'
        )
        return f"mutation {{ telemetry {{ recordEvents(events: [{{{event}}}]) {{ alwaysNil }} }} }}"

    assert client.query(inline('{key: "n", value: 2}')) == RECORDED
    for wrong in (
        f'{{key: "n", value: "{SECRET}"}}',
        f'{{key: "{SECRET}"}}',
        f'"{SECRET}"',
        f'{{key: 5, value: "{SECRET}"}}',
    ):
        answer = client.post({"query": inline(wrong)})
        assert answer.json()["errors"]
        assert SECRET not in answer.text
    assert len(logged(database)) == 1


NO_REQUESTS: list[Any] = [
    b"", b"{", b"[]", b"5", b'"x"', b"null", b"{}", b'\xff{"query": "{ __typename }"}', b'{"query": NaN}',
    {"query": 5}, {"query": None}, {"query": RECORD, "variables": []}, {"query": RECORD, "variables": SECRET},
    {"query": "{ __typename }", "operationName": 5}, [BODY], {"query": ""}, {"query": "{"},
    {"query": f"{{ telemetry({SECRET}) }}"}, {"query": f'{{ "{SECRET}" }}'}, {"query": "subscription { x }"},
    {"query": "{ nothing }"}, {"query": "mutation { telemetry { recordEvents { alwaysNil } } }"},
    {"query": "type Query { x: Int }"}, {"query": RECORD}, {"query": RECORD, "variables": {"events": None}},
    {"query": RECORD, "variables": {"events": SECRET}}, {"query": RECORD, "variables": {"events": [SECRET, None]}},
    b'{"query": "{ __typename }", "variables": ' + b"[" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("body", NO_REQUESTS)
def test_an_invalid_request_gets_status_400(client: IngestClient, body: Any) -> None:
    answer = client.post(body)
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert SECRET not in answer.text


def nested(depth: int) -> str:
    return "{ __schema { types" + " { ofType" * depth + " { name }" + " }" * depth + " } }"


def fragments(count: int) -> str:
    """Return a query that expands to 2^count fields."""
    links = [f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(count)]
    return " ".join(["{ ...F0 }", *links, f"fragment F{count} on Query {{ __typename }}"])


TOO_MUCH = {
    "deep": (nested(30), "at most 20 levels"),
    "deeper than the parser allows": ("{a" * 900 + "}" * 900, "too deep"),
    "deep in an unused fragment": (f"{{ __typename }} fragment F on Query {nested(30)}", "at most 20 levels"),
    "wide in an unused fragment": (
        "{ __typename } fragment F on Query {" + " __typename" * 501 + "}",
        "at most 500 fields",
    ),
    "the same field many times": ("{" + " telemetry { __typename }" * 200 + "}", "at most 20000 pairs of fields"),
    "the same field in many places": (
        "{ __typename }" + "".join(f" fragment F{n} on Query {{{' __typename' * 100}}}" for n in range(6)),
        "at most 20000 pairs of fields",
    ),
    "wide": ("{" + " __typename" * 501 + "}", "at most 500 fields"),
    "aliases": ("{" + "".join(f" a{n}: __typename" for n in range(21)) + "}", "at most 20 aliases"),
    "fragments": (fragments(30), "at most 500 fields"),
    "a circle": ("{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }", "fragments contain each other"),
    "tokens": ("{" + " a b" * 1500 + "}", "over 2000 tokens"),
    "length": ("{ __typename } #" + "x" * 40_000, "at most 32768 characters"),
    "two batches": (
        RECORD.replace("{ recordEvents", "{ a: recordEvents(events: $events) { alwaysNil } recordEvents"),
        "at most 1 recordEvents",
    ),
    "introspection of introspection": (
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }",
        "introspection depth",
    ),
}


@pytest.mark.parametrize("name", TOO_MUCH)
@pytest.mark.interpreter
def test_expensive_queries_are_rejected(database: Database, name: str) -> None:
    query, said = TOO_MUCH[name]
    with ingest_client(database) as client:
        answer = client.post({"query": query, "variables": {"events": [client_event()]}})
        assert answer.status_code == 400
        assert any(said in message for message in messages(answer))
    assert logged(database) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_accepted(client: IngestClient, method: str) -> None:
    answer = client.request(method, "/.api/graphql?query={__typename}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=application/json"},
        {"content-encoding": "gzip"},
    ],
)
def test_only_json_is_accepted(client: IngestClient, headers: dict[str, str]) -> None:
    assert client.post(BODY, headers).status_code == 415


def test_a_body_over_the_limit_is_rejected(client: IngestClient, database: Database) -> None:
    large = client_event(parameters={"version": 1, "privateMetadata": {"text": SECRET * 400}})
    answer = client.record(large)
    assert (answer.status_code, messages(answer)) == (413, ["the body is larger than 4096 bytes"])
    assert logged(database) == []


def send_slowly(app: App, message: dict[str, Any]) -> list[dict[str, Any]]:
    """Send a request whose body ends after this message; return the response messages."""
    answered: list[dict[str, Any]] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(part: Any) -> None:
            answered.append(part)

        waiting = [message]
        scope = {
            "type": "http", "method": "POST", "path": "/.api/graphql", "raw_path": b"/.api/graphql",
            "query_string": b"", "headers": [(b"content-type", b"application/json")], "client": ("192.0.2.1", 1),
        }  # fmt: skip
        async with asyncio.timeout(60):
            await app(scope, receive, send)

    asyncio.run(run())
    return answered


def test_a_slow_body_times_out(database: Database) -> None:
    with ingest_client(database, body_timeout="50ms") as client:
        begun = {"type": "http.request", "body": b'{"query": ', "more_body": True}
        start, body = send_slowly(client.app, begun)
    assert start["status"] == 408
    assert json.loads(body["body"])["errors"][0]["message"] == "the body was not complete within 0.05 s"


def test_a_disconnected_client_gets_no_response(database: Database) -> None:
    with ingest_client(database) as client:
        assert send_slowly(client.app, {"type": "http.disconnect"}) == []


def test_a_rate_limited_address_gets_retry_after(database: Database) -> None:
    with ingest_client(database, requests_per_second=0.001, burst="2000s", cors_origins="https://app.test") as client:
        assert [client.post(BODY).status_code for _ in range(3)] == [200, 200, 429]
        answer = client.post(BODY, {"origin": "https://app.test"})
        assert 900 < int(answer.headers["retry-after"]) <= 1000
        # Pages of allowed origins can read the error, too.
        assert answer.headers["access-control-allow-origin"] == "https://app.test"
        assert client.request("GET", "/healthz").status_code == 200
    with ingest_client(database, requests_per_second=0) as client:
        assert {client.post({}).status_code for _ in range(20)} == {400}


def preflight(client: IngestClient, origin: str, headers: str = "authorization,content-type") -> Any:
    return client.request(
        "OPTIONS",
        PATH,
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": headers,
        },
    )


def test_cors_allows_configured_origins_and_headers(client: IngestClient, database: Database) -> None:
    allowed = preflight(client, "https://other.test:8443", "x-sourcegraph-actor-anonymous-uid,content-type")
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://other.test:8443"
    assert "access-control-allow-credentials" not in allowed.headers
    assert preflight(client, "https://foreign.test").status_code == 400
    assert preflight(client, "https://app.test", "x-other").status_code == 400
    with ingest_client(database, cors_origins="*") as any_origin:
        assert preflight(any_origin, "https://foreign.test").headers["access-control-allow-origin"] == "*"
    with ingest_client(database) as none:
        assert preflight(none, "https://app.test").status_code == 405


def test_liveness_and_readiness_probes(client: IngestClient, tmp_path: Any) -> None:
    assert client.request("GET", "/healthz").text == "ok\n"
    assert client.request("GET", "/readyz").json() == {"ready": True}
    empty = Database(create_database_engine(f"sqlite:///{tmp_path}/empty.db"))
    with ingest_client(empty) as unready:
        answer = unready.request("GET", "/readyz")
        assert answer.status_code == 503
        assert answer.json() == {
            "ready": False,
            "problem": "there is no such database file; correct TELEMETRY_DATABASE_URL, or run: telemetry db upgrade",
        }
        assert unready.request("GET", "/healthz").status_code == 200
        # Events that cannot be stored are not acknowledged: the client retries.
        refused = unready.post(BODY)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        assert "nothing was recorded" in messages(refused)[0]
    empty.close()


def test_metrics_count_requests_and_errors(client: IngestClient) -> None:
    client.record(client_event(), client_event())
    client.record(client_event(feature="Bad"), client_event(feature="Bad"))
    client.post(b"{")
    client.request("GET", "/.api/graphql")

    def count(name: str, **labels: str) -> float | None:
        return client.registry.get_sample_value(f"telemetry_ingest_graphql_{name}", labels)

    assert count("events_total") == 2
    assert {status: count("requests_total", status=status) for status in ("200", "400", "405")} == {
        "200": 2,
        "400": 1,
        "405": 1,
    }
    assert (count("refused_total", code="INVALID_EVENT"), count("refused_total", code="BAD_REQUEST")) == (2, 2)
    assert count("seconds_count") == 4


def test_an_execution_error_never_quotes_the_value(client: IngestClient) -> None:
    query = "query ($first: Int = 5) { telemetry { exportedEvents(first: $first) { totalCount } } }"
    answer = client.post({"query": query, "variables": {"first": None}})
    assert answer.json()["errors"][0] == {
        "message": "a value has the wrong type",
        "path": ["telemetry", "exportedEvents"],
        "extensions": {"code": "BAD_REQUEST"},
    }


def test_fragments_are_expanded(client: IngestClient) -> None:
    query = "query Q($yes: Boolean = true) { ... @include(if: $yes) { ...F } ... on Query { __typename } }"
    assert client.query(f"{query} fragment F on Query {{ again: __typename }}")["data"] == {
        "again": "Query",
        "__typename": "Query",
    }
    assert "unknown fragment" in client.query("{ ...Unknown }")["errors"][0]["message"].lower()


class BrokenRecorder(AsyncRecorder):
    """A host's recorder that raises an unexpected error."""

    async def store(self, events: Any) -> None:
        raise RuntimeError(SECRET)


def test_an_unexpected_error_is_logged_by_class_without_its_text(database: Database) -> None:
    recorder = BrokenRecorder(make_recorder(database))
    with ingest_client(database, recorder=recorder) as client, capture_logs() as logs:
        answer = client.post(BODY)
    assert answer.json() == {
        "data": {"telemetry": {"recordEvents": None}},
        "errors": [
            {
                "message": "unexpected error; see the service's log",
                "path": ["telemetry", "recordEvents"],
                "extensions": {"code": "INTERNAL"},
            }
        ],
    }
    assert logs == [{"event": "request failed unexpectedly", "error": "RuntimeError", "log_level": "error"}]


def test_the_hosts_recorder_stays_open_after_shutdown(database: Database) -> None:
    recorder = AsyncRecorder(make_recorder(database))
    for _ in range(2):
        with ingest_client(database, recorder=recorder) as client:
            assert client.post(BODY).json() == RECORDED
    assert len(logged(database)) == 2
    asyncio.run(recorder.close())


def test_the_document_cache_is_limited(database_kind: str) -> None:
    documents = Documents(load_schema(), most_kept=2)
    first = documents.document("{ __typename }")
    assert documents.document("{ __typename }") is first
    documents.document("{ a: __typename }")
    assert documents.document("{ __typename }") is first
    documents.document("{ b: __typename }")  # evicts the least recently used one
    assert documents.document("{ __typename }") is first
    documents.document("{ a: __typename }")
    documents.document("{ b: __typename }")
    assert documents.document("{ __typename }") is not first
