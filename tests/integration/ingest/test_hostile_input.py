"""Fuzzing: any input gets a rejection or a GraphQL error, never an internal error, and is never quoted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.graphql_client import RECORD, RECORDED, IngestClient, client_event, ingest_client
from support.recorders import stored_names
from telemetry_store.database import Database

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"])

MANY = settings(max_examples=150)
SECRET = "SECRET-5d1f"

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.just(SECRET), inner, max_size=4)
    ),
    max_leaves=12,
)
names = st.sampled_from(
    ["timestamp", "feature", "action", "source", "parameters", "marketingTracking", "client", "clientVersion",
     "version", "metadata", "key", "value", "privateMetadata", "billingMetadata", "product", "category", "url"]
)  # fmt: skip
shaped = st.recursive(
    anything | st.sampled_from(["a.b", "2026-01-31T12:00:00Z", 1, 2**31, 2**53 + 1, 10**400]),
    lambda inner: st.dictionaries(names, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=20,
)
WORDS = """
{ } ( ) [ ] : ! $ ... @ = | query mutation subscription fragment F on Query Mutation telemetry recordEvents
exportedEvents events first after nodes __schema __typename types @include(if:$x) $events alwaysNil null true
1 -1 1e999 # \\u0000 \ufeff é
"""
words = st.lists(
    st.sampled_from([*WORDS.split(), f'"{SECRET}"', f'"""{SECRET}', '"', "9" * 5000, "@skip(if: true)"]), max_size=40
).map(" ".join)


@pytest.fixture
def client(database: Database) -> Iterator[IngestClient]:
    with ingest_client(database, requests_per_second=0) as made:
        yield made


def check(client: IngestClient, body: bytes) -> Any:
    """Send a body; an exception of the application would be raised here."""
    answer = client.post(body)
    assert answer.status_code in (200, 400, 413)
    found = answer.json()
    assert found.get("errors") or answer.status_code == 200
    for error in found.get("errors", ()):
        assert error["extensions"]["code"] not in ("INTERNAL", "UNAVAILABLE"), error
    assert SECRET not in answer.text
    return found


@MANY
@given(body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_random_bodies(client: IngestClient, body: bytes) -> None:
    assert "data" not in check(client, body)


@MANY
@given(
    query=words | st.text(max_size=100),
    variables=st.none() | st.dictionaries(st.text(max_size=8), anything, max_size=3),
)
def test_random_queries(client: IngestClient, query: str, variables: Any) -> None:
    check(client, json.dumps({"query": query, "variables": variables}).encode("utf-8", "surrogatepass"))


@MANY
@given(events=anything | shaped | st.lists(shaped, max_size=3))
def test_random_events(client: IngestClient, events: Any) -> None:
    check(client, json.dumps({"query": RECORD, "variables": {"events": events}}).encode())


@MANY
@given(
    changes=st.dictionaries(names, shaped, max_size=3),
    parameters=st.dictionaries(names, shaped, max_size=4),
)
def test_almost_valid_events_are_stored_completely_or_not_at_all(
    client: IngestClient, database: Database, changes: dict[str, Any], parameters: dict[str, Any]
) -> None:
    before = stored_names(database)
    events = [
        client_event(),
        client_event(**{**changes, "parameters": {"version": 1, **parameters}}),
        client_event(),
    ]
    found = check(client, json.dumps({"query": RECORD, "variables": {"events": events}}).encode())
    after = stored_names(database)
    grew = [len(now) - len(then) for now, then in zip(after, before, strict=True)]
    assert grew == ([3, 3] if found == RECORDED else [0, 0])


@MANY
@given(
    header=st.sampled_from(
        ["authorization", "X-Sourcegraph-Actor-Anonymous-UID", "X-Sourcegraph-Interaction-ID", "origin", "content-type"]
    ),
    value=st.binary(max_size=600),
)
def test_random_headers(client: IngestClient, header: str, value: bytes) -> None:
    body = json.dumps({"query": RECORD, "variables": {"events": [client_event()]}}).encode()
    headers = [(b"content-type", b"application/json"), (header.encode(), value)]
    answer = client.request("POST", "/.api/graphql", content=body, headers=headers)
    assert answer.status_code in (200, 401, 415)
