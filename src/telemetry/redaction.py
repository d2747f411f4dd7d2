"""Removes everything that must not be exported from events, then asserts that it is gone.

Based on the schema: each field of `Event` is classified once, in `FIELD_CLASSES`. A field that is
not classified is never exported, on any instance. So a field that is added to the schema later
cannot be exported before it has been reviewed (and a test fails until then).
"""

import enum
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from telemetry.allowlist import Allowlist, AllowlistEntry
from telemetry.errors import RedactionError
from telemetry.exportable import exportable_event, foreign_field
from telemetry.v1 import telemetrygateway_pb2 as pb

NOT_A_STRING = "ERROR: value of allowlisted key was not a string"
"""Replaces the value of an allowlisted key if it is not text."""

Today: TypeAlias = Callable[[], date]


class FieldClass(enum.Enum):
    """Whether a field may be exported."""

    EXPORTABLE = "exportable"
    SENSITIVE = "sensitive"


# SECURITY: this alone decides which fields are exported. Names are relative to the protobuf package.
FIELD_CLASSES: Mapping[str, FieldClass] = {
    **dict.fromkeys(
        (
            "Event.id",
            "Event.timestamp",
            "Event.feature",
            "Event.action",
            "Event.source",
            "Event.parameters",
            "Event.user",
            "Event.feature_flags",
            "Event.interaction",
            "EventSource.server",
            "EventSource.client",
            "EventSource.Server.version",
            "EventSource.Client.name",
            "EventSource.Client.version",
            "EventParameters.version",
            "EventParameters.legacy_metadata",
            "EventParameters.billing_metadata",
            "EventParameters.metadata",
            "EventBillingMetadata.product",
            "EventBillingMetadata.category",
            "EventUser.user_id",
            "EventUser.anonymous_user_id",
            "EventUser.sams_external_id",
            "EventFeatureFlags.flags",
            "EventInteraction.trace_id",
            "EventInteraction.interaction_id",
            "EventInteraction.geolocation",
            "EventInteraction.Geolocation.country_code",
        ),
        FieldClass.EXPORTABLE,
    ),
    **dict.fromkeys(("Event.marketing_tracking", "EventParameters.private_metadata"), FieldClass.SENSITIVE),
}

FieldPath: TypeAlias = tuple[str, ...]
"""Field names from `Event` down."""


def short_name(field: FieldDescriptor) -> str:
    """Return a field's name as in `FIELD_CLASSES`, for example `EventUser.user_id`."""
    return field.full_name.removeprefix(f"{pb.DESCRIPTOR.package}.")


def class_of(field: FieldDescriptor) -> FieldClass | None:
    """Return a field's class; None if it has not been reviewed."""
    return FIELD_CLASSES.get(short_name(field))


def reachable_fields(
    message: Descriptor = pb.Event.DESCRIPTOR, path: FieldPath = ()
) -> Iterator[tuple[FieldPath, FieldDescriptor]]:
    """Yield each field with its path, without descending into sensitive fields."""
    for field in message.fields:
        here = (*path, field.name)
        yield here, field
        below = _own_message(field)
        if below is not None and class_of(field) is FieldClass.EXPORTABLE:
            yield from reachable_fields(below, here)


def _own_message(field: FieldDescriptor) -> Descriptor | None:
    """Return a field's message type if the wire contract defines it; None for scalars, maps and well-known types."""
    message = field.message_type
    if message is None or message.file is not pb.DESCRIPTOR or message.GetOptions().map_entry:
        return None
    return message


_PRIVATE_METADATA = "EventParameters.private_metadata"


def _keeps(field: FieldDescriptor, *, first_party: bool) -> bool:
    """Return whether a field may be exported by its class; an unclassified field never may."""
    kind = class_of(field)
    return kind is FieldClass.EXPORTABLE or (first_party and kind is FieldClass.SENSITIVE)


def _paths_to_strip(*, first_party: bool) -> tuple[tuple[FieldPath, str], ...]:
    return tuple(
        (path[:-1], path[-1])
        for path, field in reachable_fields()
        if not _keeps(field, first_party=first_party)
        # The private metadata of an allowlisted event is kept partially, in a separate step.
        and not (short_name(field) == _PRIVATE_METADATA and _PRIVATE_METADATA in FIELD_CLASSES)
    )


def _today_utc() -> date:
    return datetime.now(UTC).date()


class Redactor:
    """Removes what must not be exported from events, by the allowlist and the kind of instance.

    Args:
        allowlist: The private metadata that may be exported; none by default.
        first_party: Whether this is a first-party instance, which may export sensitive fields.
        today: Returns the current date, for entries that expire.
    """

    def __init__(
        self, allowlist: Allowlist | None = None, *, first_party: bool = False, today: Today = _today_utc
    ) -> None:
        self.allowlist = Allowlist() if allowlist is None else allowlist
        self.first_party = first_party
        self.today = today
        self._strip = _paths_to_strip(first_party=first_party)
        self._exportable = exportable_event(
            frozenset(
                short_name(field)
                for _, field in reachable_fields()
                # Private metadata is checked against the allowlist instead.
                if not _keeps(field, first_party=first_party)
                and not (short_name(field) == _PRIVATE_METADATA and _PRIVATE_METADATA in FIELD_CLASSES)
            )
        )

    def exports_private_metadata(self, event: pb.Event) -> bool:
        """Return whether any private metadata of this event's type may be exported today."""
        return self.first_party or self._entry(event) is not None

    def redact(self, event: pb.Event) -> None:
        """Remove what must not be exported, in place, then assert that it is gone.

        Raises:
            RedactionError: Redaction failed, or something forbidden remains. The event must not be sent.
        """
        try:
            entry = self._entry(event)
            # SECURITY: remove every field of the schema that is not classified as exportable.
            for parents, name in self._strip:
                if (holder := _holder(event, parents)) is not None:
                    holder.ClearField(name)
            # SECURITY: remove private metadata except allowlisted keys.
            if not self.first_party and event.parameters.HasField("private_metadata"):
                _redact_private_metadata(event.parameters, entry)
            # SECURITY: remove fields of a newer schema, which are not reviewed in this version.
            event.DiscardUnknownFields()
            self._assert_redacted(event, entry)
        except RedactionError:
            raise
        except Exception as error:  # noqa: BLE001 - after any failure, the event must not be exported
            # SECURITY: fail closed. Report only the class of the cause, because its message may quote a value.
            problem = type(error).__name__
        else:
            return
        raise RedactionError(f"redaction failed ({problem})")

    def _entry(self, event: pb.Event) -> AllowlistEntry | None:
        if not self.allowlist.entries:
            return None
        return self.allowlist.entry_for(event.feature, event.action, self.today())

    def _assert_redacted(self, event: pb.Event, entry: AllowlistEntry | None) -> None:
        # SECURITY: the final check before the bytes are sent. It uses only the bytes and the field classes,
        # independently of the steps above.
        if problem := foreign_field(event.SerializeToString(), self._exportable):
            raise RedactionError(f"{problem} after redaction")
        if self.first_party or not event.parameters.HasField("private_metadata"):
            return
        if entry is None:
            raise RedactionError("parameters.private_metadata is still set after redaction")
        if not entry.whole_field:
            for key, value in event.parameters.private_metadata.fields.items():
                if key not in entry.keys or value.WhichOneof("kind") != "string_value":
                    raise RedactionError("parameters.private_metadata contains a key that the allowlist forbids")


def _redact_private_metadata(parameters: pb.EventParameters, entry: AllowlistEntry | None) -> None:
    if entry is None:
        parameters.ClearField("private_metadata")
        return
    if entry.whole_field:
        return
    fields = parameters.private_metadata.fields
    for key in list(fields):
        if key not in entry.keys:
            del fields[key]
        elif fields[key].WhichOneof("kind") != "string_value":
            fields[key].string_value = NOT_A_STRING
    if not fields:
        parameters.ClearField("private_metadata")


def _holder(event: Message, parents: FieldPath) -> Message | None:
    """Return the message at `parents`; None if it or a message above it is unset."""
    holder = event
    for name in parents:
        if not holder.HasField(name):
            return None
        holder = getattr(holder, name)
    return holder
