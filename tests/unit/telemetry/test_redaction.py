from datetime import date
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from support.events import CANARY, names, private_metadata, sensitive_event
from telemetry import Allowlist, AllowlistEntry, RedactionError, Redactor, redaction
from telemetry.redaction import FIELD_CLASSES, NOT_A_STRING, FieldClass, reachable_fields, short_name
from telemetry.v1 import telemetrygateway_pb2 as pb

TODAY = date(2026, 3, 1)


def entry(action: str | None = "submit", *keys: str, expires_on: date | None = None) -> AllowlistEntry:
    return AllowlistEntry(
        feature="search.results",
        action=action,
        keys=dict.fromkeys(keys, "reason"),
        approved_by="somebody",
        approved_on=TODAY,
        expires_on=expires_on,
        origin="test",
    )


def redactor(*entries: AllowlistEntry, first_party: bool = False) -> Redactor:
    return Redactor(Allowlist(entries), first_party=first_party, today=lambda: TODAY)


def redacted(event: pb.Event, *entries: AllowlistEntry, first_party: bool = False) -> dict[str, Any]:
    redactor(*entries, first_party=first_party).redact(event)
    return MessageToDict(event)


def all_fields() -> dict[str, FieldDescriptor]:
    return {short_name(field): field for _, field in reachable_fields()}


def test_every_field_of_an_event_is_classified_once() -> None:
    # Fails if a field is added to the schema without a class.
    assert set(all_fields()) == set(FIELD_CLASSES)


def test_only_private_metadata_and_marketing_are_sensitive() -> None:
    sensitive = {name for name, kind in FIELD_CLASSES.items() if kind is FieldClass.SENSITIVE}
    assert sensitive == {"Event.marketing_tracking", "EventParameters.private_metadata"}


@pytest.mark.parametrize("name", sorted(FIELD_CLASSES))
@pytest.mark.parametrize("first_party", [False, True])
def test_an_unclassified_field_is_removed_on_every_instance(
    monkeypatch: pytest.MonkeyPatch, name: str, first_party: bool
) -> None:
    classes = {field: kind for field, kind in FIELD_CLASSES.items() if field != name}
    paths = [path for path, field in reachable_fields() if short_name(field) == name]
    monkeypatch.setattr(redaction, "FIELD_CLASSES", classes)
    event = pb.Event()
    for path in paths:
        *parents, last = path
        holder: Any = event
        for parent in parents:
            holder = getattr(holder, parent)
        value = getattr(holder, last)
        if hasattr(value, "SetInParent"):
            value.SetInParent()
        elif hasattr(value, "items"):
            value["k"] = "v" if last == "flags" else 1
        else:
            setattr(holder, last, "x" if isinstance(value, str) else 1)
    before = event.ByteSize()
    redactor(first_party=first_party).redact(event)
    assert event.ByteSize() < before
    for path in paths:
        holder = event
        for parent in path[:-1]:
            holder = getattr(holder, parent)
        assert path[-1] not in {field.name for field, _ in holder.ListFields()}


def test_by_default_only_sensitive_fields_are_removed() -> None:
    event = sensitive_event()
    expected = MessageToDict(event)
    del expected["marketingTracking"]
    del expected["parameters"]["privateMetadata"]
    assert redacted(event) == expected
    assert CANARY.encode() not in event.SerializeToString()


def test_only_allowlisted_keys_are_kept() -> None:
    event = sensitive_event(language="python", query=CANARY)
    assert redacted(event, entry("submit", "language"))["parameters"]["privateMetadata"] == {"language": "python"}
    assert CANARY.encode() not in event.SerializeToString()


@pytest.mark.parametrize("value", [5, True, None, {"deep": CANARY}, [CANARY], 1.5])
def test_a_value_other_than_text_is_replaced_by_a_marker(value: Any) -> None:
    event = sensitive_event(language=value)
    document = redacted(event, entry("submit", "language"))
    assert document["parameters"]["privateMetadata"] == {"language": NOT_A_STRING}
    assert NOT_A_STRING == "ERROR: value of allowlisted key was not a string"


def test_the_field_is_unset_if_no_listed_key_remains() -> None:
    event = sensitive_event(query=CANARY)
    redactor(entry("submit", "language")).redact(event)
    assert not event.parameters.HasField("private_metadata")


def test_a_whole_field_entry_keeps_the_field_but_not_marketing() -> None:
    event = sensitive_event(query=CANARY, deep={"a": [1]})
    document = redacted(event, entry("submit", "*"))
    assert document["parameters"]["privateMetadata"] == {"query": CANARY, "deep": {"a": [1.0]}}
    assert "marketingTracking" not in document


def test_an_exact_entry_replaces_the_entry_for_all_actions() -> None:
    event = sensitive_event(a="1", b="2")
    document = redacted(event, entry(None, "a"), entry("submit", "b"))
    assert document["parameters"]["privateMetadata"] == {"b": "2"}
    other = sensitive_event(action="failed", a="1", b="2")
    assert redacted(other, entry(None, "a"), entry("submit", "b"))["parameters"]["privateMetadata"] == {"a": "1"}


def test_an_expired_exact_entry_allows_nothing() -> None:
    event = sensitive_event(a="1", b="2")
    expired = entry("submit", "a", expires_on=date(2026, 2, 28))
    assert "privateMetadata" not in redacted(event, entry(None, "*"), expired)["parameters"]


def test_an_entry_is_valid_until_its_last_day() -> None:
    event = sensitive_event(a="1")
    assert "privateMetadata" in redacted(event, entry("submit", "a", expires_on=TODAY))["parameters"]
    assert "privateMetadata" not in redacted(event, entry("submit", "a", expires_on=date(2026, 2, 28)))["parameters"]


def test_a_first_party_instance_keeps_both() -> None:
    event = sensitive_event(query=CANARY)
    expected = MessageToDict(event)
    assert redacted(event, first_party=True) == expected


def test_unknown_fields_are_removed_at_every_level() -> None:
    unknown = bytes([0xF2, 0x3E, 4]) + b"leak"  # field 1006, length-delimited
    for first_party in (False, True):
        event = sensitive_event()
        for holder in (event, event.source, event.source.server, event.parameters, event.user, event.feature_flags):
            holder.MergeFromString(unknown)
        event.parameters.private_metadata.fields["query"].MergeFromString(unknown)
        redactor(first_party=first_party).redact(event)
        assert b"leak" not in event.SerializeToString()


def test_exports_private_metadata_matches_redaction() -> None:
    event = sensitive_event()
    assert not redactor().exports_private_metadata(event)
    assert redactor(entry("submit", "a")).exports_private_metadata(event)
    assert redactor(first_party=True).exports_private_metadata(event)


@given(
    names,
    names,
    private_metadata,
    st.lists(
        st.tuples(
            st.sampled_from([None, "submit", "failed"]), st.sets(st.sampled_from(["query", "language"]), min_size=1)
        )
    ),
)
def test_redaction_keeps_only_listed_text_and_is_idempotent(
    feature: str, action: str, private: dict[str, Any], lists: list[tuple[str | None, set[str]]]
) -> None:
    by_action = dict(lists)
    entries = [
        AllowlistEntry(feature, listed, dict.fromkeys(keys, "r"), "x", None) for listed, keys in by_action.items()
    ]
    event = sensitive_event(feature, action, **{"canary": CANARY, **private})
    subject = redactor(*entries)
    subject.redact(event)
    allowed = by_action.get(action, by_action.get(None, set()))
    left = event.parameters.private_metadata.fields
    assert set(left) == set(private) & allowed
    for key, value in left.items():
        assert value.string_value == (private[key] if isinstance(private[key], str) else NOT_A_STRING)
    assert not event.HasField("marketing_tracking")
    once = event.SerializeToString(deterministic=True)
    subject.redact(event)
    assert event.SerializeToString(deterministic=True) == once


def test_the_final_check_rejects_an_event_that_was_not_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    # The final check must be independent of the step before it.
    broken = redactor()
    broken._strip = ()
    with pytest.raises(RedactionError, match="^marketing_tracking is still set after redaction$"):
        broken.redact(sensitive_event())
    monkeypatch.setattr(redaction, "_redact_private_metadata", lambda parameters, entry: None)
    with pytest.raises(RedactionError) as caught:
        redactor().redact(sensitive_event())
    assert str(caught.value) == "parameters.private_metadata is still set after redaction"
    listed = redactor(entry("submit", "language"))
    with pytest.raises(RedactionError, match="contains a key that the allowlist forbids"):
        listed.redact(sensitive_event(query=CANARY))


@pytest.mark.parametrize("holder", ["", "source", "parameters", "user"])
def test_remaining_unknown_fields_are_rejected(holder: str) -> None:
    event = sensitive_event()
    redactor().redact(event)
    (getattr(event, holder) if holder else event).MergeFromString(bytes([0xF2, 0x3E, 4]) + b"leak")
    with pytest.raises(RedactionError, match="still has unknown fields after redaction"):
        redactor()._assert_redacted(event, None)


def test_a_failed_redaction_names_only_the_class_of_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(parameters: Any, entry: Any) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr(redaction, "_redact_private_metadata", explode)
    with pytest.raises(RedactionError) as caught:
        redactor().redact(sensitive_event())
    assert str(caught.value) == "redaction failed (ValueError)"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
