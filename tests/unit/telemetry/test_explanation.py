from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.events import CANARY, private_metadata, sensitive_event
from telemetry import Allowlist, AllowlistEntry, RedactionError, Redactor, redaction
from telemetry.explanation import Explanation, HeldBack, Rule, explain
from telemetry.v1 import telemetrygateway_pb2 as pb

TODAY = date(2026, 3, 1)
MARKETING = ("marketing_tracking", Rule.SENSITIVE_FIELD)


def entry(*keys: str, expires_on: date | None = None) -> AllowlistEntry:
    return AllowlistEntry(
        "search.results", "submit", dict.fromkeys(keys, "reason"), "somebody", TODAY, expires_on, "list.toml, line 3"
    )


def redactor(*entries: AllowlistEntry, first_party: bool = False) -> Redactor:
    return Redactor(Allowlist(entries), first_party=first_party, today=lambda: TODAY)


def rules(explanation: Explanation) -> dict[str, Rule]:
    return {held.place: held.rule for held in explanation.held_back if held.present}


def private(explanation: Explanation) -> list[HeldBack]:
    return [held for held in explanation.held_back if held.path[:2] == ("parameters", "private_metadata")]


def test_each_removed_part_has_its_rule() -> None:
    found = explain(sensitive_event(query=CANARY, language="go"), redactor())

    assert rules(found) == {
        "marketing_tracking": Rule.SENSITIVE_FIELD,
        "parameters.private_metadata.language": Rule.NOT_ALLOWLISTED,
        "parameters.private_metadata.query": Rule.NOT_ALLOWLISTED,
    }


def test_the_event_is_not_changed() -> None:
    event = sensitive_event()
    before = event.SerializeToString(deterministic=True)

    found = explain(event, redactor())

    assert event.SerializeToString(deterministic=True) == before
    assert not found.redacted.HasField("marketing_tracking")


def test_unlisted_keys_differ_from_listed_keys_without_text() -> None:
    found = explain(sensitive_event(query=CANARY, language="go", count=5), redactor(entry("language", "count")))

    assert rules(found) == {
        "marketing_tracking": Rule.SENSITIVE_FIELD,
        "parameters.private_metadata.count": Rule.NOT_TEXT,
        "parameters.private_metadata.query": Rule.KEY_NOT_ALLOWLISTED,
    }
    assert "count, language (list.toml, line 3)" in private(found)[1].because


def test_an_expired_entry_is_named_with_its_day_and_line() -> None:
    found = explain(sensitive_event(language="go"), redactor(entry("language", expires_on=date(2026, 2, 28))))

    (held,) = private(found)
    assert held.rule is Rule.ENTRY_EXPIRED
    assert held.because == "the allowlist's entry expired on 2026-02-28 (list.toml, line 3)"


@pytest.mark.parametrize(
    ("entries", "rule"),
    [((), Rule.NOT_ALLOWLISTED), ((entry("language"),), Rule.KEY_NOT_ALLOWLISTED)],
)
def test_parts_removed_at_recording_are_not_present(entries: tuple[AllowlistEntry, ...], rule: Rule) -> None:
    event = sensitive_event(query=CANARY)
    redactor(*entries).redact(event)

    found = explain(event, redactor(*entries))

    assert [(held.place, held.rule, held.present) for held in found.held_back] == [
        ("parameters.private_metadata", rule, False),
        ("marketing_tracking", Rule.SENSITIVE_FIELD, False),
    ]


def test_a_whole_field_entry_holds_nothing_back() -> None:
    found = explain(sensitive_event(query=CANARY, count=5), redactor(entry("*")))

    assert private(found) == []


def test_an_expired_whole_field_entry_allows_nothing() -> None:
    found = explain(sensitive_event(query=CANARY), redactor(entry("*", expires_on=date(2026, 2, 1))))

    assert [held.rule for held in private(found)] == [Rule.ENTRY_EXPIRED]


def test_a_first_party_instance_holds_nothing_back() -> None:
    event = sensitive_event()

    found = explain(event, redactor(first_party=True))

    assert found.held_back == ()
    assert found.redacted == event


def test_fields_of_a_newer_schema_have_no_name() -> None:
    event = sensitive_event()
    event.MergeFromString(b"\xd2\x3e\x06secret")  # field 1002

    found = explain(event, redactor(first_party=True))

    assert [(held.place, held.rule) for held in found.held_back] == [
        ("(fields of a newer version)", Rule.UNREVIEWED_FIELD)
    ]


def test_an_unreviewed_field_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {name: kind for name, kind in redaction.FIELD_CLASSES.items() if name != "EventUser.user_id"}
    monkeypatch.setattr(redaction, "FIELD_CLASSES", classes)

    found = explain(sensitive_event(), redactor(first_party=True))

    assert rules(found) == {"user.user_id": Rule.UNREVIEWED_FIELD}


def test_an_unredactable_event_is_not_explained() -> None:
    with pytest.raises(RedactionError):
        explain(sensitive_event(), Redactor(Allowlist([entry("x")]), today=lambda: 1 / 0))  # type: ignore[arg-type, return-value]


@given(private_metadata, st.sets(st.sampled_from(["query", "language", "x", "*"]), max_size=2), st.booleans())
def test_present_parts_are_those_that_redaction_removes(
    private_fields: dict[str, Any], keys: set[str], first_party: bool
) -> None:
    allowed = [entry("*")] if "*" in keys else [entry(*keys)] if keys else []
    event = sensitive_event(**private_fields) if all(key.isidentifier() for key in private_fields) else pb.Event()
    after = pb.Event()
    after.CopyFrom(event)
    redactor(*allowed, first_party=first_party).redact(after)

    found = explain(event, redactor(*allowed, first_party=first_party))

    assert found.redacted == after
    assert any(held.present for held in found.held_back) == (event != after)
    before_keys, after_keys = event.parameters.private_metadata.fields, after.parameters.private_metadata.fields
    told = {held.path[2] for held in found.held_back if held.present and len(held.path) == 3}
    assert told == {key for key in before_keys if key not in after_keys or before_keys[key] != after_keys[key]}
    assert CANARY not in "".join(held.because for held in found.held_back)
