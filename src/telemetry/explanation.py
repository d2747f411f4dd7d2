"""Why a part of an event stays on the instance, for people.

What is held back is found by redacting a copy and looking at what is gone, so it is what redaction
does, not a second opinion on it. Only then is the rule named.
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
    """What holds a part of an event back."""

    SENSITIVE_FIELD = "sensitive-field"
    """The field is classed as sensitive and leaves first-party instances only."""
    UNREVIEWED_FIELD = "unreviewed-field"
    """The field is in no class, or not in this version's schema."""
    NOT_ALLOWLISTED = "not-allowlisted"
    """No entry of the allowlist stands for events of this type."""
    ENTRY_EXPIRED = "entry-expired"
    """The allowlist's entry has expired."""
    KEY_NOT_ALLOWLISTED = "key-not-allowlisted"
    """The allowlist's entry does not list the key."""
    NOT_TEXT = "not-text"
    """The key is listed, but its value is not text; a marker leaves in its place."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A part of an event that stays. Names only: never a value.

    Attributes:
        path: Field names from the event down; below `private_metadata`, the key. Empty for fields that
            this version's schema lacks.
        rule: Which rule holds it.
        because: The rule in words, for this event.
        present: Whether the event holds the part. Where it does not, it was either never set or taken out
            before: what the allowlist of the day forbids is not even written to the queue.
    """

    path: FieldPath
    rule: Rule
    because: str
    present: bool = True

    @property
    def place(self) -> str:
        """The path as people write it: `parameters.private_metadata.query`."""
        return ".".join(self.path) or "(fields of a newer version)"


@dataclass(frozen=True, slots=True)
class Explanation:
    """An event as it may leave, and what of it may not.

    Attributes:
        redacted: What may leave.
        held_back: What stays, in the schema's order.
    """

    redacted: pb.Event
    held_back: tuple[HeldBack, ...]


def explain(event: pb.Event, redactor: Redactor) -> Explanation:
    """Returns what of an event may leave now, and which rule holds each other part; changes nothing.

    Raises:
        RedactionError: The event cannot be redacted, so nothing of it may leave.
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
            yield HeldBack(path, Rule.UNREVIEWED_FIELD, "nobody has reviewed yet whether this field may leave")
        elif kind is FieldClass.SENSITIVE and not redactor.first_party:
            because = "this field is sensitive; it leaves first-party instances only"
            yield HeldBack(path, Rule.SENSITIVE_FIELD, because, present=gone)
    known = pb.Event()
    known.CopyFrom(event)
    known.DiscardUnknownFields()
    if known.ByteSize() < event.ByteSize():
        yield HeldBack((), Rule.UNREVIEWED_FIELD, "this version does not know these fields, so they are taken out")


def _private_metadata(event: pb.Event, redacted: pb.Event, redactor: Redactor) -> Iterator[HeldBack]:
    if redactor.first_party:
        return
    entry = redactor.allowlist.standing_entry(event.feature, event.action)
    rule, because = _of_unlisted_keys(entry, redactor.today())
    before, after = event.parameters.private_metadata.fields, redacted.parameters.private_metadata.fields
    for key in sorted(before):
        if key not in after:
            yield HeldBack((*PRIVATE_METADATA, key), rule, because)
        elif before[key] != after[key]:
            because_of_kind = f"the key may leave, but its value is not text; in its place stands: {NOT_A_STRING}"
            yield HeldBack((*PRIVATE_METADATA, key), Rule.NOT_TEXT, because_of_kind)
    everything = entry is not None and entry.whole_field and rule is Rule.KEY_NOT_ALLOWLISTED
    if not everything and before.keys() <= after.keys():
        gone = _is_set(event, PRIVATE_METADATA) and not _is_set(redacted, PRIVATE_METADATA)
        yield HeldBack(PRIVATE_METADATA, rule, because, present=gone)


def _of_unlisted_keys(entry: AllowlistEntry | None, today: date) -> tuple[Rule, str]:
    if entry is None:
        return Rule.NOT_ALLOWLISTED, "the allowlist has no entry for events of this type"
    if not entry.holds_on(today):
        return Rule.ENTRY_EXPIRED, f"the allowlist's entry expired on {entry.expires_on} ({entry.origin})"
    return Rule.KEY_NOT_ALLOWLISTED, f"the allowlist lets out only {', '.join(sorted(entry.keys))} ({entry.origin})"


def _is_set(event: Message, path: FieldPath) -> bool:
    holder = event
    for name in path[:-1]:
        if not holder.HasField(name):
            return False
        holder = getattr(holder, name)
    return any(field.name == path[-1] for field, _ in holder.ListFields())
