import asyncio
import pickle
import sys
import threading
import types
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import uuid6
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from telemetry import (
    Client,
    EventBuilder,
    EventContext,
    EventParameters,
    EventTooLargeError,
    InvalidContextError,
    InvalidIdError,
    InvalidInputError,
    InvalidTimestampError,
    MarketingTracking,
    NewEvent,
    current_context,
    event_context,
)
from telemetry.event import check_id
from telemetry.v1 import telemetrygateway_pb2 as pb

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
EVENT_ID = "0190a5c0-0000-7000-8000-000000000001"
CANARY = "CANARY-9a2e"


@pytest.fixture
def builder() -> EventBuilder:
    return EventBuilder("1.2.3", clock=lambda: NOW, id_factory=lambda: EVENT_ID)


def test_an_event_without_context_has_only_the_basic_fields(builder: EventBuilder) -> None:
    event = builder.build(NewEvent("search.results", "submit"))
    assert [field.name for field, _ in event.ListFields()] == [
        "id", "timestamp", "feature", "action", "source", "parameters",
    ]  # fmt: skip
    assert event.id == EVENT_ID
    assert event.timestamp.ToDatetime(UTC) == NOW
    assert event.source.server.version == "1.2.3"
    assert not event.source.HasField("client")


def test_ids_are_generated_as_uuid_version_7() -> None:
    event = EventBuilder("1").build(NewEvent("search", "submit"))
    assert uuid.UUID(event.id).version == 7


@pytest.mark.parametrize(
    "event_id",
    [
        "7d444840-9dc0-4d1a-b245-5ffdce74fad2",
        EVENT_ID.upper().replace("0190A5C0", "0190A5C0"),
        "{" + EVENT_ID + "}",
        EVENT_ID + "\n",
        EVENT_ID.replace("-", ""),
        "0190a5c0-0000-7000-c000-000000000001",  # not the variant of RFC 9562
        "",
        CANARY,
    ],
)
def test_ids_other_than_canonical_uuid_version_7_are_rejected(builder: EventBuilder, event_id: str) -> None:
    with pytest.raises(InvalidIdError) as caught:
        builder.build(NewEvent("search", "submit", id=event_id))
    assert str(caught.value) == "id: must be a UUID version 7 (RFC 9562) in canonical lower-case text"


def test_an_upper_case_id_is_rejected() -> None:
    with pytest.raises(InvalidIdError):
        check_id("0190a5c0-0000-7000-8000-00000000000A")


@pytest.mark.parametrize("event_id", [uuid6.uuid7(), 5, EVENT_ID.encode()])
def test_ids_that_are_not_text_are_rejected_with_their_type(builder: EventBuilder, event_id: Any) -> None:
    with pytest.raises(InvalidIdError, match=f"id: must be text, not {type(event_id).__name__}"):
        builder.build(NewEvent("search", "submit", id=event_id))


@given(st.datetimes(timezones=st.timezones()))
def test_timestamps_are_stored_to_the_microsecond(moment: datetime) -> None:
    builder = EventBuilder("1", id_factory=lambda: EVENT_ID)
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        with pytest.raises(InvalidTimestampError):
            builder.build(NewEvent("search", "submit", timestamp=moment))
        return
    event = builder.build(NewEvent("search", "submit", timestamp=moment))
    assert event.timestamp.ToDatetime(UTC) == expected


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (datetime(2026, 1, 1), "must have a time zone, for example datetime.now(UTC)"),  # noqa: DTZ001
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "must be in the years 1 to 9999 in UTC"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "must be in the years 1 to 9999 in UTC"),
        ("2026-01-01T00:00:00Z", "must be a datetime, not str"),
        (1_700_000_000, "must be a datetime, not int"),
    ],
)
def test_invalid_timestamps_are_rejected(builder: EventBuilder, timestamp: Any, text: str) -> None:
    with pytest.raises(InvalidTimestampError) as caught:
        builder.build(NewEvent("search", "submit", timestamp=timestamp))
    assert text in str(caught.value)


def test_an_event_over_the_size_limit_is_rejected_with_its_size() -> None:
    def event(builder: EventBuilder, length: int) -> pb.Event:
        return builder.build(
            NewEvent("search", "submit", EventParameters(private_metadata={"k": CANARY + "x" * length}))
        )

    def fixed(limit: int) -> EventBuilder:
        return EventBuilder("1", clock=lambda: NOW, id_factory=lambda: EVENT_ID, max_event_bytes=limit)

    base = 60_000
    length = base + 65_536 - event(fixed(10**6), base).ByteSize()
    assert event(fixed(65_536), length).ByteSize() == 65_536
    with pytest.raises(EventTooLargeError) as caught:
        event(fixed(65_536), length + 1)
    assert str(caught.value) == "event: is 65537 bytes serialized, more than 65536"


def test_the_service_version_is_validated_by_the_builder() -> None:
    with pytest.raises(InvalidInputError, match="service_version: text must not contain NUL"):
        EventBuilder("1\0")


def test_the_whole_context_is_added(builder: EventBuilder) -> None:
    context = EventContext(
        user_id=7,
        anonymous_user_id="anon",
        sams_external_id="sams",
        feature_flags={"on": True, "off": False, "text": "blue"},
        interaction_id="inter",
        country_code="DE",
        client=Client("vscode", "1.90"),
        marketing_tracking=MarketingTracking(url="https://example.com", cohort_id="c"),
    )
    with event_context(context):
        event = builder.build(NewEvent("search", "submit"))
    assert (event.user.user_id, event.user.anonymous_user_id, event.user.sams_external_id) == (7, "anon", "sams")
    assert dict(event.feature_flags.flags) == {"on": "true", "off": "false", "text": "blue"}
    assert event.interaction.interaction_id == "inter"
    assert event.interaction.geolocation.country_code == "DE"
    assert (event.source.client.name, event.source.client.version) == ("vscode", "1.90")
    assert event.source.server.version == "1.2.3"
    assert (event.marketing_tracking.url, event.marketing_tracking.cohort_id) == ("https://example.com", "c")
    assert not event.marketing_tracking.HasField("referrer")


def test_contexts_can_be_nested(builder: EventBuilder) -> None:
    with event_context(user_id=1, interaction_id="outer"):
        with event_context(user_id=2):
            event = builder.build(NewEvent("search", "submit"))
            assert (event.user.user_id, event.interaction.interaction_id) == (2, "outer")
        assert current_context().user_id == 1
    assert current_context() == EventContext()


def test_an_events_own_context_overrides_the_current_one(builder: EventBuilder) -> None:
    with event_context(user_id=1):
        event = builder.build(NewEvent("search", "submit", context=EventContext(anonymous_user_id="own")))
    assert not event.user.HasField("user_id")
    assert event.user.anonymous_user_id == "own"


def test_a_thread_starts_with_an_empty_context_and_a_task_inherits(builder: EventBuilder) -> None:
    seen: dict[str, bool] = {}

    def look(name: str) -> None:
        seen[name] = builder.build(NewEvent("search", "submit")).HasField("user")

    async def in_task() -> None:
        look("task")

    with event_context(user_id=1):
        thread = threading.Thread(target=look, args=("thread",))
        thread.start()
        thread.join()
        asyncio.run(in_task())
    assert seen == {"thread": False, "task": True}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"user_id": 2**63}, "user_id: must be a 64-bit integer"),
        ({"user_id": True}, "user_id: must be a 64-bit integer"),
        ({"user_id": "7"}, "user_id: must be a 64-bit integer"),
        ({"anonymous_user_id": f"{CANARY}\0"}, "anonymous_user_id: text must not contain NUL"),
        ({"anonymous_user_id": CANARY * 60}, "anonymous_user_id: must have at most 512 characters"),
        ({"sams_external_id": 5}, "sams_external_id: must be text, not int"),
        ({"interaction_id": "\ud800"}, "interaction_id: text must not contain lone surrogates"),
        ({"country_code": b"DE"}, "country_code: must be text, not bytes"),
        ({"feature_flags": ["x"]}, "feature_flags: must be Mapping, not list"),
        ({"client": "x"}, "client: must be Client, not str"),
        ({"marketing_tracking": {}}, "marketing_tracking: must be MarketingTracking, not dict"),
        ({"feature_flags": {"": "x"}}, "feature_flags, a name: must not be empty"),
        ({"feature_flags": {"x": 5}}, "feature_flags, a value: must be text, not int"),
    ],
)
def test_invalid_context_is_rejected_when_it_is_set(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidContextError) as caught, event_context(**changes):
        pass
    assert str(caught.value).startswith(text)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("make", [lambda: Client(""), lambda: Client("x", "\0"), lambda: MarketingTracking(url="\0")])
def test_invalid_clients_and_marketing_are_rejected_when_created(make: Any) -> None:
    with pytest.raises(InvalidContextError):
        make()


def test_empty_text_in_the_context_means_unknown(builder: EventBuilder) -> None:
    context = EventContext(
        anonymous_user_id="", interaction_id="", country_code="", marketing_tracking=MarketingTracking()
    )
    event = builder.build(NewEvent("search", "submit", context=context))
    assert {field.name for field, _ in event.ListFields()} == {
        "id", "timestamp", "feature", "action", "source", "parameters",
    }  # fmt: skip


def test_the_trace_id_is_that_of_the_recording_span(builder: EventBuilder) -> None:
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        event = builder.build(NewEvent("search", "submit"))
    assert event.interaction.trace_id == f"{span.get_span_context().trace_id:032x}"
    assert not builder.build(NewEvent("search", "submit")).HasField("interaction")


def test_opentelemetry_is_not_imported_for_the_trace_id(builder: EventBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {name: module for name, module in sys.modules.items() if not name.startswith("opentelemetry")}
    monkeypatch.setattr(sys, "modules", types.MappingProxyType(modules) | {})
    assert not builder.build(NewEvent("search", "submit")).HasField("interaction")
    assert "opentelemetry.trace" not in sys.modules


def test_errors_can_be_pickled() -> None:
    error = InvalidIdError("id", "must be good")
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), copied.field) == (InvalidIdError, "id: must be good", "id")


def test_names_from_outside_the_code_are_validated(builder: EventBuilder) -> None:
    event = NewEvent.with_run_time_names("search", "submit", timestamp=NOW, id=EVENT_ID)
    assert builder.build(event).feature == "search"
    with pytest.raises(InvalidInputError, match="feature"):
        builder.build(NewEvent.with_run_time_names("Search", "submit"))
