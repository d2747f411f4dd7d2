"""What a client's batch becomes, and what refuses it."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingest import Caller
from recorder.database import Database
from support.graphql_client import RECORDED, IngestClient, KnownTokens, client_event, ingest_client
from support.recorders import logged, queued

SECRET = "SECRET-5d1f"


@pytest.fixture
def client(database: Database) -> Iterator[IngestClient]:
    with ingest_client(database, authenticator=KnownTokens(good=Caller(user_id=42))) as made:
        yield made


def parameters(**changes: Any) -> dict[str, Any]:
    return {"version": 1, **changes}


def test_an_event_is_stored_as_the_client_told_it(client: IngestClient, database: Database) -> None:
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
