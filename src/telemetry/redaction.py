"""Strip what must not leave, then assert that it is gone.

Built on the schema: each field that an `Event` can hold is classed in `FIELD_CLASSES`, once.
A field that is in no class is treated as sensitive on every instance, so one added to the
schema later cannot leave before somebody has reviewed it (and a test fails until then).
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
"""Stands in for the value of an allowlisted key that is anything but text."""

Today: TypeAlias = Callable[[], date]


class FieldClass(enum.Enum):
    """Whether a field may leave the instance."""

    EXPORTABLE = "exportable"
    SENSITIVE = "sensitive"


# SECURITY: the one place that decides which fields leave. Names are relative to the package.
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
    """Returns a field's name as `FIELD_CLASSES` has it, for example `EventUser.user_id`."""
    return field.full_name.removeprefix(f"{pb.DESCRIPTOR.package}.")


def class_of(field: FieldDescriptor) -> FieldClass | None:
    """Returns a field's class; None for one that nobody has reviewed."""
    return FIELD_CLASSES.get(short_name(field))


def reachable_fields(
    message: Descriptor = pb.Event.DESCRIPTOR, path: FieldPath = ()
) -> Iterator[tuple[FieldPath, FieldDescriptor]]:
    """Yields each field that can hold something, with its path; does not descend below a sensitive one."""
    for field in message.fields:
        here = (*path, field.name)
        yield here, field
        below = _own_message(field)
        if below is not None and class_of(field) is FieldClass.EXPORTABLE:
            yield from reachable_fields(below, here)


def _own_message(field: FieldDescriptor) -> Descriptor | None:
    """Returns the contract's message in a field; None for scalars, maps and the well-known types."""
    message = field.message_type
    if message is None or message.file is not pb.DESCRIPTOR or message.GetOptions().map_entry:
        return None
    return message


_PRIVATE_METADATA = "EventParameters.private_metadata"


def _keeps(field: FieldDescriptor, *, first_party: bool) -> bool:
    """Returns whether a field's class lets it leave; one in no class never does."""
    kind = class_of(field)
    return kind is FieldClass.EXPORTABLE or (first_party and kind is FieldClass.SENSITIVE)


def _paths_to_strip(*, first_party: bool) -> tuple[tuple[FieldPath, str], ...]:
    return tuple(
        (path[:-1], path[-1])
        for path, field in reachable_fields()
        if not _keeps(field, first_party=first_party)
        # The private metadata of an allowlisted event is kept in part, so it has a step of its own.
        and not (short_name(field) == _PRIVATE_METADATA and _PRIVATE_METADATA in FIELD_CLASSES)
    )


def _today_utc() -> date:
    return datetime.now(UTC).date()


class Redactor:
    """Removes from an event what must not leave, as the allowlist and the instance's kind have it.

    Args:
        allowlist: Which private metadata may leave; none by default.
        first_party: Whether this is a first-party instance, where the sensitive fields may leave.
        today: Tells the date, for entries that expire.
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
                # Which private metadata is left is judged by the allowlist.
                if not _keeps(field, first_party=first_party)
                and not (short_name(field) == _PRIVATE_METADATA and _PRIVATE_METADATA in FIELD_CLASSES)
            )
        )

    def exports_private_metadata(self, event: pb.Event) -> bool:
        """Returns whether any private metadata of this event's type may leave today."""
        return self.first_party or self._entry(event) is not None

    def redact(self, event: pb.Event) -> None:
        """Removes, in place, what must not leave, then asserts that it is gone.

        Raises:
            RedactionError: Redaction failed, or something forbidden is left. The event must not be sent.
        """
        try:
            entry = self._entry(event)
            # SECURITY: every field that is not classed as exportable goes, by the schema.
            for parents, name in self._strip:
                if (holder := _holder(event, parents)) is not None:
                    holder.ClearField(name)
            # SECURITY: private metadata goes, but for allowlisted keys.
            if not self.first_party and event.parameters.HasField("private_metadata"):
                _redact_private_metadata(event.parameters, entry)
            # SECURITY: fields of a newer schema are unreviewed here, so they go.
            event.DiscardUnknownFields()
            self._assert_redacted(event, entry)
        except RedactionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the event must not leave
            # SECURITY: fail closed. The cause's text may quote a value, so only its class is named.
            problem = type(error).__name__
        else:
            return
        raise RedactionError(f"redaction failed ({problem})")

    def _entry(self, event: pb.Event) -> AllowlistEntry | None:
        if not self.allowlist.entries:
            return None
        return self.allowlist.entry_for(event.feature, event.action, self.today())

    def _assert_redacted(self, event: pb.Event, entry: AllowlistEntry | None) -> None:
        # SECURITY: the last look before the bytes are sent. It goes by the bytes and by the classes alone,
        # and trusts nothing that was done above.
        if problem := foreign_field(event.SerializeToString(), self._exportable):
            raise RedactionError(f"{problem} after redaction")
        if self.first_party or not event.parameters.HasField("private_metadata"):
            return
        if entry is None:
            raise RedactionError("parameters.private_metadata is still set after redaction")
        if not entry.whole_field:
            for key, value in event.parameters.private_metadata.fields.items():
                if key not in entry.keys or value.WhichOneof("kind") != "string_value":
                    raise RedactionError("parameters.private_metadata holds what the allowlist forbids")


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
    """Returns the message at `parents`, or None where it, or one above it, is unset."""
    holder = event
    for name in parents:
        if not holder.HasField(name):
            return None
        holder = getattr(holder, name)
    return holder
