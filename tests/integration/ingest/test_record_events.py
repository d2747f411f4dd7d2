"""How a client's batch is recorded, and why it is rejected."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from support.graphql_client import RECORDED, IngestClient, KnownTokens, client_event, ingest_client, messages
from support.recorders import logged, queued
from telemetry_ingest import Caller, IngestSettings, create_app
from telemetry_store.database import Database

SECRET = "SECRET-5d1f"


@pytest.fixture
def client(database: Database) -> Iterator[IngestClient]:
    with ingest_client(database, authenticator=KnownTokens(good=Caller(user_id=42))) as made:
        yield made


def parameters(**changes: Any) -> dict[str, Any]:
    return {"version": 1, **changes}


def test_an_event_is_stored_as_the_client_sent_it(client: IngestClient, database: Database) -> None:
    event = client_event(
        timestamp="2026-01-02T03:04:05.678Z",
        parameters=parameters(
            version=3,
            metadata=[{"key": "n", "value": 1.5}, {"key": "m", "value": 2}, {"key": "n", "value": -3}],
            privateMetadata={"query": SECRET, "deep": [1, None, {"x": True}]},
            billingMetadata={"product": "P", "category": "C"},
            interactionID="interaction-1",
        ),
        marketingTracking={
            "url": "https://x.test",
            "firstSourceURL": "f",
            "cohortID": "c",
            "referrer": "r",
            "lastSourceURL": "l",
            "deviceSessionID": "d",
            "sessionReferrer": "sr",
            "sessionFirstURL": "sf",
        },
    )
    answer = client.record(
        event,
        headers={
            "authorization": "token good",
            "X-Sourcegraph-Actor-Anonymous-UID": "anonymous-1",
            "X-Sourcegraph-Interaction-ID": "interaction-of-the-header",
        },
    )
    assert (answer.status_code, answer.json()) == (200, RECORDED)
    (sent,) = queued(database).values()
    assert (sent.feature, sent.action, sent.timestamp.ToMilliseconds()) == ("search.results", "submit", 1767323045678)
    assert (sent.source.client.name, sent.source.client.version) == ("vscode", "1.2.3")
    assert (sent.parameters.version, dict(sent.parameters.metadata)) == (3, {"n": -3.0, "m": 2.0})
    assert (sent.parameters.billing_metadata.product, sent.parameters.billing_metadata.category) == ("P", "C")
    assert (sent.user.user_id, sent.user.anonymous_user_id) == (42, "anonymous-1")
    assert sent.interaction.interaction_id == "interaction-1"
    assert not sent.parameters.HasField("private_metadata")
    assert not sent.HasField("marketing_tracking")
    (row,) = logged(database)
    assert row["argument"]["query"] == SECRET
    assert (row["url"], row["user_id"], row["cohort_id"], row["device_id"]) == ("https://x.test", 42, "c", "d")
    assert row["client"] == "vscode:1.2.3"


def test_a_bare_event_gets_only_the_servers_id_and_time(client: IngestClient, database: Database) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    for bare in (client_event(), client_event(timestamp=None, marketingTracking=None, source={"client": "x"})):
        assert client.record(bare).json() == RECORDED
    stored = queued(database)
    assert all(event_id[14] == "7" for event_id in stored)
    for event in stored.values():
        assert before < event.timestamp.ToDatetime(UTC) <= datetime.now(UTC)
        for unset in ("user", "interaction", "feature_flags", "marketing_tracking"):
            assert not event.HasField(unset)
    assert {event.source.client.version for event in stored.values()} == {"1.2.3", ""}


@pytest.mark.parametrize(("given", "stored"), [("text", "text"), (5, 5), ([1, "x"], [1, "x"]), (False, False)])
def test_private_metadata_other_than_an_object_is_wrapped(
    client: IngestClient, database: Database, given: Any, stored: Any
) -> None:
    assert client.record(client_event(parameters=parameters(privateMetadata=given))).json() == RECORDED
    (row,) = logged(database)
    assert row["argument"]["value"] == stored


def test_the_interaction_id_defaults_to_the_header(client: IngestClient, database: Database) -> None:
    headers = {"X-Sourcegraph-Interaction-ID": "of-the-header"}
    named = client_event(parameters=parameters(interactionID="of-the-event"))
    assert client.record(named, client_event(), headers=headers).json() == RECORDED
    assert sorted(event.interaction.interaction_id for event in queued(database).values()) == [
        "of-the-event",
        "of-the-header",
    ]


def test_concurrent_requests_are_all_stored(client: IngestClient, database: Database) -> None:
    answers = client.record_at_once([client_event()] * 40)
    assert [answer.json() for answer in answers] == [RECORDED] * 40
    assert len(queued(database)) == 40


def number(value: Any, *before: Any) -> dict[str, Any]:
    return parameters(metadata=[*before, {"key": "n", "value": value}])


NOT_EXACT = "an integer beyond 2^53 is not held exactly by a double, which is the wire's number"
TORN = [
    ({"feature": "Bad name"}, "feature: must be 2 to 64 ASCII letters"),
    ({"action": "x"}, "action: must be 2 to 64 ASCII letters"),
    ({"source": {"client": ""}}, "source.client: must not be empty"),
    ({"source": {"client": "x", "clientVersion": "x" * 513}}, "source.clientVersion: must have at most 512"),
    ({"parameters": number(SECRET)}, "parameters.metadata['n']: must be a number, not text; text belongs into"),
    ({"parameters": number(True)}, "parameters.metadata['n']: must be a number, not true or false"),
    ({"parameters": number([1])}, "parameters.metadata['n']: must be a number, not a list"),
    ({"parameters": number({"a": 1})}, "parameters.metadata['n']: must be a number, not an object"),
    ({"parameters": number(2**53 + 1)}, "parameters.metadata['n']: an integer beyond 2^53"),
    ({"parameters": number(2**60)}, f"parameters.metadata['n']: {NOT_EXACT}; pass it as text in privateMetadata"),
    ({"parameters": parameters(privateMetadata={"n": 2**60})}, f"parameters.privateMetadata['n']: {NOT_EXACT}; pass"),
    # The last of equal keys wins, but the first must be a number, too.
    ({"parameters": number(1, {"key": "n", "value": SECRET})}, "parameters.metadata['n']: must be a number, not text"),
    ({"parameters": parameters(metadata=[{"key": SECRET * 20, "value": 1}])}, "parameters.metadata, key 1: must have"),
    ({"parameters": parameters(metadata=[{"key": f"{SECRET} @", "value": "x"}])}, "parameters.metadata, value 1: must"),
    ({"parameters": parameters(privateMetadata={"a": f"{SECRET}\0"})}, "parameters.privateMetadata['a']: text must"),
    (
        {"parameters": parameters(billingMetadata={"product": "", "category": "c"})},
        "parameters.billingMetadata.product",
    ),
    ({"parameters": parameters(interactionID=SECRET * 60)}, "parameters.interactionID: must have at most 512"),
    ({"parameters": parameters(privateMetadata=SECRET * 9000)}, "event: is more than 65536 bytes serialized"),
    ({"marketingTracking": {"sessionFirstURL": f"{SECRET}\0"}}, "marketingTracking.sessionFirstURL: text must not"),
    ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp: must be in the years 1 to 9999"),
]


@pytest.mark.parametrize(("changes", "said"), TORN)
def test_an_invalid_event_rejects_its_batch_by_place_and_rule(
    client: IngestClient, database: Database, changes: dict[str, Any], said: str
) -> None:
    answer = client.record(client_event(), client_event(**changes), client_event())
    assert answer.status_code == 200
    body = answer.json()
    (error,) = body["errors"]
    assert error["message"].startswith(f"events[1].{said}")
    assert (error["extensions"]["code"], error["extensions"]["event"]) == ("INVALID_EVENT", 1)
    assert body["data"] == {"telemetry": {"recordEvents": None}}
    assert SECRET not in answer.text
    assert (logged(database), queued(database)) == ([], {})


def test_all_invalid_events_are_reported_up_to_a_limit(client: IngestClient) -> None:
    wrong = client_event(feature="Bad")
    assert [error["extensions"]["event"] for error in client.record(wrong, client_event(), wrong).json()["errors"]] == [
        0,
        2,
    ]
    assert len(messages(client.record(*[wrong] * 50))) == 20


UNFIT = [
    ({"timestamp": SECRET}, "events[1].timestamp: must be an RFC 3339 time"),
    ({"timestamp": "2026-01-31"}, "events[1].timestamp: must be an RFC 3339 time"),
    ({"timestamp": "2026-01-31T12:00:00"}, "events[1].timestamp: must be an RFC 3339 time"),
    ({"timestamp": "2026-02-31T12:00:00Z"}, "events[1].timestamp: must be an RFC 3339 time"),
    ({"timestamp": 1767323045678}, "events[1].timestamp: must be an RFC 3339 time"),
    ({"feature": None}, "events[1].feature: must not be null"),
    ({"feature": 5}, "events[1].feature: must be text"),
    ({"source": SECRET}, "events[1].source: must be an object"),
    ({"source": {}}, "events[1].source.client: is required"),
    ({"parameters": {}}, "events[1].parameters.version: is required"),
    ({"parameters": parameters(version=SECRET)}, "events[1].parameters.version: must be a 32-bit integer"),
    ({"parameters": parameters(version=2**31)}, "events[1].parameters.version: must be a 32-bit integer"),
    ({"parameters": parameters(version=1.5)}, "events[1].parameters.version: must be a 32-bit integer"),
    ({"parameters": number(None)}, "events[1].parameters.metadata['n'].value: must not be null"),
    ({"parameters": parameters(metadata=[{"value": 1}])}, "events[1].parameters.metadata[0].key: is required"),
    (
        {"parameters": parameters(metadata=[{"key": 1, "value": 1}])},
        "events[1].parameters.metadata[0].key: must be text",
    ),
    ({"user": 5}, "events[1]: has the unknown field 'user'; known are timestamp, feature"),
    ({f"{SECRET} {SECRET}": 5}, "events[1]: has the unknown field number 5; known are"),
    ({"user_id": 5}, "events[1]: has the unknown field 'user_id'"),
]


@pytest.mark.parametrize(("changes", "said"), UNFIT)
def test_a_schema_violation_is_reported_by_place_and_rule(
    client: IngestClient, database: Database, changes: dict[str, Any], said: str
) -> None:
    answer = client.record(client_event(), client_event(**changes))
    assert answer.status_code == 400
    (message,) = messages(answer)
    assert message.startswith(said)
    assert SECRET not in answer.text
    assert logged(database) == []


def test_too_many_events_in_a_request_are_rejected(database: Database) -> None:
    with ingest_client(database, max_events=3) as client:
        assert client.record(*[client_event()] * 3).json() == RECORDED
        assert messages(client.record(*[client_event()] * 4)) == ["events: must be at most 3 per request, got 4"]
    assert len(queued(database)) == 3


def test_an_empty_batch_is_accepted(client: IngestClient, database: Database) -> None:
    assert client.record().json() == RECORDED
    assert logged(database) == []


def test_with_telemetry_off_requests_succeed_without_storing(database: Database) -> None:
    with ingest_client(database, telemetry_mode="off") as client:
        assert client.record(client_event(), client_event(feature="Bad")).json() == RECORDED
    assert logged(database) == []


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_hanging_database_times_out_by_its_setting(migrated_url: str, database: Database) -> None:
    registry = CollectorRegistry()
    settings = IngestSettings.load(database_url=migrated_url, record_timeout="500ms", anonymous=True)
    client = IngestClient(create_app(settings, registry=registry), registry)
    with database.engine.begin() as other:
        # Released in the end, so that without the timeout this test fails instead of hanging.
        other.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '20s'")
        other.exec_driver_sql("LOCK TABLE event_logs IN ACCESS EXCLUSIVE MODE")
        assert client.record(client_event()).status_code == 503
    assert client.record(client_event()).status_code == 200
    client.close()
