"""What a call stores, on both databases."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import DuplicateEventError, Recorder, without_event_logs
from recorder.settings import RecorderSettings
from support.events import CANARY, valid_parameters
from support.recorders import EXPORT_ALL, logged, make_recorder, queued, stored_names
from telemetry import (
    Allowlist,
    AllowlistEntry,
    EventParameters,
    ExportMode,
    ExportPolicy,
    InvalidInputError,
    InvalidNameError,
    MarketingTracking,
    NewEvent,
    TelemetryMode,
    event_context,
)
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database

EVENT_ID = "0190a5c0-0000-7000-8000-000000000001"
WHEN = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)


@pytest.mark.interpreter
def test_one_call_writes_both_rows(database: Database) -> None:
    recorder = make_recorder(database)
    event_id = recorder.record("search", "submit", EventParameters(metadata={"n": 1}), timestamp=WHEN)
    assert uuid.UUID(event_id).version == 7
    (row,) = logged(database)
    assert (row["name"], row["timestamp"], row["public_argument"]["n"]) == ("search.submit", WHEN, 1)
    assert list(queued(database)) == [event_id]
    assert queued(database)[event_id].timestamp.ToDatetime(UTC) == WHEN


def test_a_batch_returns_its_ids_in_order_and_stores_all(database: Database) -> None:
    recorder = make_recorder(database)
    ids = recorder.batch_record(NewEvent("search", "submit", EventParameters(metadata={"n": n})) for n in range(25))
    events = queued(database)
    assert [events[event_id].parameters.metadata["n"] for event_id in ids] == [float(n) for n in range(25)]
    assert len(logged(database)) == 25


def test_an_empty_batch_stores_nothing(database: Database) -> None:
    assert make_recorder(database).batch_record([]) == []
    assert stored_names(database) == ([], [])


@pytest.mark.parametrize("size", [1, 2, 30])
def test_a_batch_with_a_duplicate_stores_nothing(database: Database, size: int) -> None:
    recorder = make_recorder(database)
    recorder.record("first", "one", id=EVENT_ID)
    batch = [NewEvent("search", "submit") for _ in range(size - 1)]
    with pytest.raises(DuplicateEventError, match="an event with this id was recorded before"):
        recorder.batch_record([*batch, NewEvent("second", "one", id=EVENT_ID)])
    assert stored_names(database) == (["first.one"], ["first.one"])


def test_invalid_input_in_a_batch_stores_nothing_and_sends_no_statement(database: Database) -> None:
    recorder = make_recorder(database)
    database.engine.dispose()
    checked_out = database.engine.pool.checkedout()  # type: ignore[attr-defined]

    def events() -> Iterator[NewEvent]:
        yield NewEvent("search", "submit")
        yield NewEvent.with_run_time_names("abc\n", "submit")

    with pytest.raises(InvalidNameError):
        recorder.batch_record(events())
    assert database.engine.pool.checkedin() == 0  # type: ignore[attr-defined]
    assert checked_out == 0
    assert stored_names(database) == ([], [])


@settings(max_examples=30)
@given(valid_parameters())
def test_all_valid_events_are_stored_on_both_databases(database: Database, parameters: EventParameters) -> None:
    recorder = make_recorder(database)
    event_id = recorder.record("search", "submit", parameters)
    event = queued(database)[event_id]
    assert dict(event.parameters.metadata) == {key: float(value) for key, value in (parameters.metadata or {}).items()}
    assert not event.parameters.HasField("private_metadata")
    row = logged(database)[-1]
    assert "translation.error" not in row["argument"] | row["public_argument"]
    stored = {key for key in row["argument"] if key != "telemetry.privateMetadata.exportable"}
    assert stored == set(parameters.private_metadata or {})


HOSTILE = st.one_of(
    st.floats(),
    st.integers(),
    st.text(),
    st.binary(),
    st.none(),
    st.lists(st.integers()),
    st.sampled_from(["\ud800", "\0"]),
)


@settings(max_examples=30)
@given(st.dictionaries(st.text() | st.integers(), HOSTILE, max_size=3), st.dictionaries(st.text(), HOSTILE, max_size=3))
def test_hostile_parameters_are_rejected_before_the_database_or_stored(
    database: Database, metadata: Any, private: Any
) -> None:
    recorder = make_recorder(database)
    before = len(queued(database))
    try:
        recorder.record("search", "submit", EventParameters(metadata=metadata, private_metadata=private))
    except InvalidInputError:
        assert len(queued(database)) == before
    else:
        assert len(queued(database)) == before + 1


def test_private_data_is_in_event_logs_and_never_in_the_queue(database: Database) -> None:
    recorder = make_recorder(database)
    with event_context(marketing_tracking=MarketingTracking(url=CANARY, cohort_id=CANARY)):
        event_id = recorder.record("search", "submit", EventParameters(private_metadata={"query": CANARY, CANARY: 1}))
    (row,) = logged(database)
    assert (row["argument"]["query"], row["url"], row["cohort_id"]) == (CANARY, CANARY, CANARY)
    assert CANARY.encode() not in queued(database)[event_id].SerializeToString()


def test_metadata_on_the_allowlist_is_queued_and_marked(database: Database) -> None:
    entry = AllowlistEntry("search", "submit", {"language": "why"}, "x", date(2026, 1, 1))
    recorder = make_recorder(database, allowlist=Allowlist([entry]))
    event_id = recorder.record(
        "search", "submit", EventParameters(private_metadata={"language": "python", "query": CANARY})
    )
    event = queued(database)[event_id]
    assert dict(event.parameters.private_metadata) == {"language": "python"}
    assert logged(database)[0]["argument"]["telemetry.privateMetadata.exportable"] is True


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ExportPolicy(), []),
        (ExportPolicy(export_mode=ExportMode.parse("search")), ["search.ok", "search.results.ok"]),
        (EXPORT_ALL, ["editor.ok", "search.ok", "search.results.ok"]),
        (ExportPolicy(export_mode=ExportMode(everything=True), opted_out_by="DO_NOT_TRACK"), []),
        (ExportPolicy(export_mode=ExportMode(everything=True), telemetry_mode=TelemetryMode.LOCAL), []),
        (
            ExportPolicy(export_mode=ExportMode(everything=True), switch=lambda event: event.feature == "editor"),
            ["editor.ok"],
        ),
    ],
)
def test_the_policy_decides_what_is_queued_and_event_logs_is_marked(
    database: Database, policy: ExportPolicy, expected: list[str]
) -> None:
    recorder = make_recorder(database, policy=policy)
    recorder.record("search", "ok")
    recorder.batch_record([NewEvent("search.results", "ok"), NewEvent("editor", "ok")])
    names, in_queue = stored_names(database)
    assert names == ["editor.ok", "search.ok", "search.results.ok"]
    assert in_queue == expected
    marked = [row["name"] for row in logged(database) if row["public_argument"]["telemetry.event.exportable"]]
    assert sorted(marked) == expected


def test_a_users_flag_keeps_the_event_on_the_instance(database: Database) -> None:
    recorder = make_recorder(database)
    with event_context(feature_flags={"telemetry-export": False}):
        recorder.record("search", "submit")
    assert stored_names(database) == (["search.submit"], [])


def test_without_event_logs_only_the_queue_is_written(database: Database) -> None:
    recorder = make_recorder(database)
    recorder.record("by", "argument", without_event_logs=True)
    with without_event_logs():
        recorder.record("by", "block")
        recorder.batch_record([NewEvent("by", "batch"), NewEvent("by", "batch")])
    recorder.record("with", "both")
    assert stored_names(database) == (
        ["with.both"],
        ["by.argument", "by.batch", "by.batch", "by.block", "with.both"],
    )


def test_without_event_logs_and_outside_the_mode_nothing_is_written(database: Database) -> None:
    make_recorder(database, policy=ExportPolicy()).record("search", "submit", without_event_logs=True)
    assert stored_names(database) == ([], [])


def test_with_telemetry_off_calls_do_nothing_and_still_return_ids(database: Database) -> None:
    recorder = make_recorder(database, policy=ExportPolicy(telemetry_mode=TelemetryMode.OFF))
    ids = recorder.batch_record([NewEvent.with_run_time_names("BAD NAME", "x"), NewEvent("ok", "ok", id=EVENT_ID)])
    assert uuid.UUID(ids[0]).version == 7
    assert ids[1] == EVENT_ID
    assert stored_names(database) == ([], [])


def test_from_url_makes_a_recorder_from_a_url_and_the_environment(
    migrated_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEMETRY_EXPORT_MODE", "search")
    recorder = Recorder.from_url(
        migrated_url, service_version="2.0", export_switch=lambda event: event.action != "secret"
    )
    for action in ("submit", "secret"):
        recorder.batch_record([NewEvent.with_run_time_names("search", action)])
    recorder.close()
    assert stored_names(database) == (["search.secret", "search.submit"], ["search.submit"])
    monkeypatch.setenv("TELEMETRY_DATABASE_URL", migrated_url)
    from_environment = Recorder.from_url(service_version="2.0")
    from_environment.record("editor", "open")
    from_environment.close()
    assert len(logged(database)) == 3


def test_settings_in_code_are_used_unchanged(database: Database) -> None:
    settings_in_code = RecorderSettings(export_mode="all", max_event_bytes=1024)
    recorder = Recorder.from_engine(database.engine, service_version="1", settings=settings_in_code)
    recorder.record("search", "submit")
    with pytest.raises(InvalidInputError, match="more than 1024"):
        recorder.record("search", "submit", EventParameters(private_metadata={"k": "x" * 1024}))


@pytest.mark.interpreter
def test_many_threads_share_a_recorder(database: Database) -> None:
    recorder = make_recorder(database)
    ids: list[str] = []

    def work() -> None:
        ids.extend(recorder.record("search", "submit") for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == len(set(ids)) == 160
    assert set(queued(database)) == set(ids)
    assert len(logged(database)) == 160


def test_a_redaction_that_fails_stores_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from telemetry import RedactionError, Redactor  # noqa: PLC0415

    def refuse(self: Redactor, event: pb.Event) -> None:
        raise RedactionError("redaction failed (Test)")

    monkeypatch.setattr(Redactor, "redact", refuse)
    with pytest.raises(RedactionError):
        make_recorder(database).record("search", "submit")
    assert stored_names(database) == ([], [])
