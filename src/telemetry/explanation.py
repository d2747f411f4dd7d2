"""Explains why a part of an event is held back on the instance.

The parts are found by comparing the event with a redacted copy, so they are what redaction really removes,
not a second implementation of the rules. The rule is named afterwards.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from google.protobuf.message import Message

from telemetry.allowlist import AllowlistEntry
from telemetry.redaction import (
    NOT_A_STRING,
    FieldClass,
    FieldPath,
    Redactor,
    class_of,
    reachable_fields,
)
from telemetry.v1 import telemetrygateway_pb2 as pb

PRIVATE_METADATA: FieldPath = ("parameters", "private_metadata")


class Rule(enum.Enum):
    """The rule that holds a part of an event back."""

    SENSITIVE_FIELD = "sensitive-field"
    """The field is classified as sensitive, and exported only from first-party instances."""
    UNREVIEWED_FIELD = "unreviewed-field"
    """The field is not classified, or not in this version's schema."""
    NOT_ALLOWLISTED = "not-allowlisted"
    """The allowlist has no entry for events of this type."""
    ENTRY_EXPIRED = "entry-expired"
    """The allowlist's entry has expired."""
    KEY_NOT_ALLOWLISTED = "key-not-allowlisted"
    """The allowlist's entry does not list the key."""
    NOT_TEXT = "not-text"
    """The key is listed, but its value is not text; a marker is exported instead."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A part of an event that is held back. Contains names only, never a value.

    Attributes:
        path: Field names from the event down; below `private_metadata`, the key. Empty for fields that
            this version's schema lacks.
        rule: The rule that holds it back.
        because: The rule in words, for this event.
        present: Whether the event contains the part. If not, it was never set, or was removed before: parts that
            the allowlist forbids at recording time are not even written to the queue.
    """

    path: FieldPath
    rule: Rule
    because: str
    present: bool = True

    @property
    def place(self) -> str:
        """The path with dots: `parameters.private_metadata.query`."""
        return ".".join(self.path) or "(fields of a newer version)"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A redacted event, and the parts that are held back.

    Attributes:
        redacted: The event as it may be exported.
        held_back: The parts that are held back, in the order of the schema.
    """

    redacted: pb.Event
    held_back: tuple[HeldBack, ...]


def explain(event: pb.Event, redactor: Redactor) -> Explanation:
    """Return what may be exported of an event now, and the rule that holds back each other part.

    Raises:
        RedactionError: The event cannot be redacted, so it is never exported.
    """
    redacted = pb.Event()
    redacted.CopyFrom(event)
    redactor.redact(redacted)
    return Explanation(redacted, tuple(_held_back(event, redacted, redactor)))


def _held_back(event: pb.Event, redacted: pb.Event, redactor: Redactor) -> Iterator[HeldBack]:
    for path, field in reachable_fields():
        kind = class_of(field)
        gone = _is_set(event, path) and not _is_set(redacted, path)
        if path == PRIVATE_METADATA:
            yield from _private_metadata(event, redacted, redactor)
        elif kind is None and gone:
            yield HeldBack(path, Rule.UNREVIEWED_FIELD, "this field has not been reviewed for export yet")
        elif kind is FieldClass.SENSITIVE and not redactor.first_party:
            because = "this field is sensitive; it is exported only from first-party instances"
            yield HeldBack(path, Rule.SENSITIVE_FIELD, because, present=gone)
    known = pb.Event()
    known.CopyFrom(event)
    known.DiscardUnknownFields()
    if known.ByteSize() < event.ByteSize():
        yield HeldBack((), Rule.UNREVIEWED_FIELD, "these fields are unknown to this version, so they are removed")


def _private_metadata(event: pb.Event, redacted: pb.Event, redactor: Redactor) -> Iterator[HeldBack]:
    if redactor.first_party:
        return
    entry = redactor.allowlist.matching_entry(event.feature, event.action)
    rule, because = _of_unlisted_keys(entry, redactor.today())
    before, after = event.parameters.private_metadata.fields, redacted.parameters.private_metadata.fields
    for key in sorted(before):
        if key not in after:
            yield HeldBack((*PRIVATE_METADATA, key), rule, because)
        elif before[key] != after[key]:
            because_of_kind = f"the key is allowed, but its value is not text; exported instead: {NOT_A_STRING}"
            yield HeldBack((*PRIVATE_METADATA, key), Rule.NOT_TEXT, because_of_kind)
    everything = entry is not None and entry.whole_field and rule is Rule.KEY_NOT_ALLOWLISTED
    if not everything and before.keys() <= after.keys():
        gone = _is_set(event, PRIVATE_METADATA) and not _is_set(redacted, PRIVATE_METADATA)
        yield HeldBack(PRIVATE_METADATA, rule, because, present=gone)


def _of_unlisted_keys(entry: AllowlistEntry | None, today: date) -> tuple[Rule, str]:
    if entry is None:
        return Rule.NOT_ALLOWLISTED, "the allowlist has no entry for events of this type"
    if not entry.is_valid_on(today):
        return Rule.ENTRY_EXPIRED, f"the allowlist's entry expired on {entry.expires_on} ({entry.origin})"
    return Rule.KEY_NOT_ALLOWLISTED, f"the allowlist allows only {', '.join(sorted(entry.keys))} ({entry.origin})"


def _is_set(event: Message, path: FieldPath) -> bool:
    holder = event
    for name in path[:-1]:
        if not holder.HasField(name):
            return False
        holder = getattr(holder, name)
    return any(field.name == path[-1] for field, _ in holder.ListFields())
