"""Site administrators list exported events, page by page."""

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.databases import ManualClock
from support.events import CANARY
from support.graphql_client import IngestClient, KnownTokens, ingest_client
from support.recorders import make_recorder
from telemetry import EventParameters
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_ingest import Caller
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue

QUERY = """
query Exported($first: Int! = 50, $after: String) {
  telemetry { exportedEvents(first: $first, after: $after) {
    totalCount
    nodes { id exportedAt payload }
    pageInfo { hasNextPage endCursor }
  } }
}
"""


@pytest.fixture
def client(database: Database) -> Iterator[IngestClient]:
    callers = {"admin": Caller(user_id=1, site_admin=True), "user": Caller(user_id=2)}
    with ingest_client(database, authenticator=KnownTokens(**callers)) as made:
        yield made


def exported(client: IngestClient, token: str = "admin", **variables: Any) -> Any:
    return client.query(QUERY, {"authorization": f"token {token}"}, **variables)


def page(client: IngestClient, **variables: Any) -> Any:
    return exported(client, **variables)["data"]["telemetry"]["exportedEvents"]


def test_exported_events_are_listed_newest_first_without_private_data(
    client: IngestClient, database: Database, queue: ExportQueue, clock: ManualClock
) -> None:
    assert page(client) == {"totalCount": 0, "nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    recorder = make_recorder(database)
    parameters = EventParameters(metadata={"n": 1.5}, private_metadata={"query": CANARY})
    ids = [recorder.record("search", "submit", parameters, timestamp=clock()) for _ in range(5)]
    for event_id in ids[:4]:
        clock.advance(seconds=1)
        queue.mark_exported([event_id])

    first = page(client, first=3)
    assert first["totalCount"] == 4
    assert [node["id"] for node in first["nodes"]] == [ids[3], ids[2], ids[1]]
    assert first["nodes"][0]["exportedAt"] == "2026-03-01T12:00:04Z"
    assert first["nodes"][0]["payload"] == {
        "id": ids[3],
        "timestamp": "2026-03-01T12:00:00Z",
        "feature": "search",
        "action": "submit",
        "source": {"server": {"version": "1.0"}},
        "parameters": {"metadata": {"n": 1.5}},
    }
    assert first["pageInfo"]["hasNextPage"] is True
    # More events are exported between two pages.
    clock.advance(seconds=1)
    queue.mark_exported([ids[4]])
    last = page(client, first=3, after=first["pageInfo"]["endCursor"])
    assert [node["id"] for node in last["nodes"]] == [ids[0]]
    assert (last["totalCount"], last["pageInfo"]["hasNextPage"]) == (5, False)
    assert page(client, first=3, after=last["pageInfo"]["endCursor"])["nodes"] == []


def test_other_callers_cannot_list_events(client: IngestClient, database: Database, queue: ExportQueue) -> None:
    queue.mark_exported([make_recorder(database).record("search", "submit")])
    for answer in (exported(client, "user"), client.query(QUERY)):
        assert answer["data"] is None
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
        assert "search" not in str(answer)


@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"first": 0}, "first: must be 1 to 1000"),
        ({"first": 1001}, "first: must be 1 to 1000"),
        *(
            ({"after": cursor}, "after: must be the endCursor of a page")
            for cursor in (
                *("", "x", "é", "eA==", "MjAyNi0wMy0wMSB4", "MjAyNi0wMy0wMVQxMjowMDowMCAwMTlj", "=" * 5000),
                base64.urlsafe_b64encode(f"2026-03-01T12:00:00,{uuid.uuid4()}".encode()).decode(),
                base64.urlsafe_b64encode(f"0001-01-01T00:00:00+23:59,{uuid.uuid4()}".encode()).decode(),
            )
        ),
    ],
)
def test_an_invalid_page_is_rejected(client: IngestClient, variables: dict[str, Any], said: str) -> None:
    answer = exported(client, **variables)
    assert [error["message"] for error in answer["errors"]] == [said]
    assert answer["data"] is None


@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.parametrize(
    "payload", [b"\xff", pb.Event(timestamp=Timestamp(seconds=10**15)).SerializeToString()], ids=["bytes", "time"]
)
def test_an_unreadable_row_does_not_break_the_page(
    client: IngestClient, database: Database, queue: ExportQueue, payload: bytes
) -> None:
    ids = [make_recorder(database).record("search", "submit") for _ in range(2)]
    database.write(
        lambda c: c.exec_driver_sql(
            "UPDATE telemetry_events_export_queue SET payload_pb = ? WHERE id = ?", (payload, ids[0])
        )
    )
    queue.mark_exported(ids)
    payloads = {node["id"]: node["payload"] for node in page(client)["nodes"]}
    assert payloads[ids[0]] == {"error": "the event in this row cannot be read"}
    assert payloads[ids[1]]["feature"] == "search"
