"""The translation into `event_logs`, column by column as recording.md has it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from recorder import BuiltEvent, TeeStore
from support.recorders import EXPORT_ALL, logged, make_recorder
from telemetry import (
    BillingMetadata,
    Client,
    EventContext,
    EventParameters,
    MarketingTracking,
    NewEvent,
    Redactor,
)
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.event_logs import event_logs

WHEN = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
FULL = EventContext(
    user_id=7,
    anonymous_user_id="anon",
    feature_flags={"on": True, "one": "1", "off": False, "text": "blue"},
    client=Client("vscode", "1.90"),
    marketing_tracking=MarketingTracking(
        url="https://example.com/page",
        first_source_url="first",
        cohort_id="2026-01",
        referrer="referrer",
        last_source_url="last",
        device_session_id="device",
    ),
)


def row_of(database: Database, parameters: EventParameters | None = None, context: EventContext | None = None) -> Any:
    make_recorder(database).batch_record([NewEvent("search.results", "submit", parameters, None, WHEN, context)])
    return logged(database)[-1]


def test_a_full_event_fills_every_column_that_new_events_use(database: Database) -> None:
    parameters = EventParameters(
        metadata={"durationMs": 41.5, "count": 3, "yes": True},
        private_metadata={"query": "q", "deep": {"list": [1, 2.5, None, True, {}], "empty": []}},
        billing_metadata=BillingMetadata("search", "core"),
    )
    row = row_of(database, parameters, FULL)
    assert isinstance(row.pop("id"), int)
    assert row == {
        "name": "search.results.submit",
        "url": "https://example.com/page",
        "user_id": 7,
        "anonymous_user_id": "anon",
        "source": "vscode",
        "argument": {
            "query": "q",
            "deep": {"list": [1, 2.5, None, True, {}], "empty": []},
            "telemetry.privateMetadata.exportable": False,
        },
        "public_argument": {"durationMs": 41.5, "count": 3, "yes": 1, "telemetry.event.exportable": True},
        "version": "1.0",
        "timestamp": WHEN,
        "feature_flags": {"on": True, "one": True, "off": False, "text": False},
        "cohort_id": "2026-01",
        "first_source_url": "first",
        "last_source_url": "last",
        "referrer": "referrer",
        "device_id": "device",
        "insert_id": None,
        "billing_product_category": "core",
        "billing_event_id": None,
        "client": "vscode:1.90",
    }


def test_a_minimal_event_gets_the_defaults_that_the_table_requires(database: Database) -> None:
    row = row_of(database)
    del row["id"]
    unset = ("feature_flags", "cohort_id", "first_source_url", "last_source_url", "referrer", "device_id", "insert_id",
             "billing_product_category", "billing_event_id", "client")  # fmt: skip
    assert row == {
        "name": "search.results.submit",
        "url": "",
        "user_id": 0,
        "anonymous_user_id": "unknown",
        "source": "BACKEND",
        "argument": {},
        "public_argument": {"telemetry.event.exportable": True},
        "version": "1.0",
        "timestamp": WHEN,
        **dict.fromkeys(unset),
    }


@pytest.mark.parametrize(
    ("context", "user_id", "anonymous_user_id"),
    [
        (EventContext(user_id=7), 7, ""),
        (EventContext(anonymous_user_id="a"), 0, "a"),
        (EventContext(user_id=0), 0, "unknown"),
        (EventContext(user_id=-5), -5, ""),
        (EventContext(user_id=2**31 - 1), 2**31 - 1, ""),
        (EventContext(user_id=2**31), 0, "unknown"),
        (EventContext(user_id=2**62, anonymous_user_id="a"), 0, "a"),
    ],
)
def test_a_row_always_has_one_of_the_ids(
    database: Database, context: EventContext, user_id: int, anonymous_user_id: str
) -> None:
    row = row_of(database, None, context)
    assert (row["user_id"], row["anonymous_user_id"]) == (user_id, anonymous_user_id)


def test_a_client_without_a_version_keeps_its_colon(database: Database) -> None:
    assert row_of(database, None, EventContext(client=Client("cli")))["client"] == "cli:"


def test_a_service_without_a_version_is_unknown(database: Database) -> None:
    store = TeeStore(database, policy=EXPORT_ALL, redactor=Redactor())
    event = pb.Event(id="0190a5c0-0000-7000-8000-000000000001", feature="ab", action="cd")
    store.store_events([BuiltEvent(event)])
    assert logged(database)[0]["version"] == "unknown"


@pytest.mark.parametrize(
    ("break_it", "column", "marker"),
    [
        (lambda e: e.parameters.private_metadata.fields["k"].MergeFrom(text_value("\0")), "argument", "holds NUL"),
        (lambda e: e.parameters.metadata.update({"k\0": 1.0}), "public_argument", "holds NUL"),
        (lambda e: e.feature_flags.flags.update({"f\0": "true"}), "feature_flags", "holds NUL"),
    ],
)
def test_a_value_that_cannot_be_translated_is_replaced_by_a_marker(
    database: Database, break_it: Any, column: str, marker: str
) -> None:
    # A recorder rejects such an event; a store that gets one directly must still not lose it.
    event = pb.Event(id="0190a5c0-0000-7000-8000-000000000001", feature="ab", action="cd")
    break_it(event)
    TeeStore(database, policy=EXPORT_ALL, redactor=Redactor()).store_events([BuiltEvent(event)])
    assert logged(database)[0][column] == {"translation.error": marker}


def text_value(value: str) -> Any:
    from google.protobuf.struct_pb2 import Value  # noqa: PLC0415

    return Value(string_value=value)


def test_text_that_looks_like_an_escaped_nul_is_plain_text(database: Database) -> None:
    row = row_of(database, EventParameters(private_metadata={"a": "\\u0000", "b": "\\\\u0000"}))
    assert (row["argument"]["a"], row["argument"]["b"]) == ("\\u0000", "\\\\u0000")


def test_the_json_columns_can_be_queried_in_sql(database: Database, database_kind: str) -> None:
    row_of(database, EventParameters(metadata={"n": 3}))
    value = {"sqlite": "json_extract(public_argument, '$.n')", "postgresql": "(public_argument ->> 'n')::int"}
    with database.engine.connect() as connection:
        assert connection.execute(text(f"SELECT {value[database_kind]} FROM event_logs")).scalar() == 3


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"source": ""}, {"version": ""}, {"user_id": 0, "anonymous_user_id": ""}]
)
def test_the_table_checks_what_analytics_rely_on(database: Database, change: dict[str, Any]) -> None:
    from sqlalchemy.exc import IntegrityError  # noqa: PLC0415

    row_of(database)
    with database.engine.connect() as connection:
        row = dict(connection.execute(select(event_logs)).mappings().one())
    del row["id"]
    with pytest.raises(IntegrityError), database.engine.begin() as connection:
        connection.execute(event_logs.insert().values(row | change))


def test_the_table_has_the_indexes_that_analytics_use(database: Database) -> None:
    indexed = {tuple(index["column_names"]) for index in inspect(database.engine).get_indexes("event_logs")}
    assert {("name",), ("source",), ("user_id",), ("anonymous_user_id",), ("timestamp",)} <= indexed
