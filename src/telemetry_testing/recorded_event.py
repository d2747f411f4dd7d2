"""An event as a test sees it."""

from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from google.protobuf.json_format import MessageToDict

from recorder import EventStore
from telemetry import Client, ExportPolicy, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb


@runtime_checkable
class _Exporting(Protocol):
    """A store with export rules."""

    policy: ExportPolicy
    redactor: Redactor


class RecordedEvent:
    """A recorded event, including private data. For tests only.

    Args:
        event: The event as protobuf message.
        store: The store of its recorder, which knows the export rules.
    """

    def __init__(self, event: pb.Event, store: EventStore | None = None) -> None:
        self.event = event
        self._store = store

    @property
    def id(self) -> str:
        """The event's id."""
        return self.event.id

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC."""
        return self.event.timestamp.ToDatetime(UTC)

    @property
    def feature(self) -> str:
        """The event's feature."""
        return self.event.feature

    @property
    def action(self) -> str:
        """The event's action."""
        return self.event.action

    @property
    def name(self) -> str:
        """Feature and action, joined as in `event_logs`."""
        return f"{self.feature}.{self.action}"

    @property
    def version(self) -> int:
        """The version of its parameters."""
        return self.event.parameters.version

    @property
    def metadata(self) -> dict[str, float]:
        """The numbers that may be exported; a `bool` is 1 or 0."""
        return dict(self.event.parameters.metadata)

    @property
    def private_metadata(self) -> dict[str, Any] | None:
        """The private metadata; None if the event has none."""
        if not self.event.parameters.HasField("private_metadata"):
            return None
        return dict(MessageToDict(self.event.parameters.private_metadata))

    @property
    def billing(self) -> tuple[str, str] | None:
        """Product and category; None if the event is not billable."""
        if not self.event.parameters.HasField("billing_metadata"):
            return None
        return self.event.parameters.billing_metadata.product, self.event.parameters.billing_metadata.category

    @property
    def user_id(self) -> int | None:
        """The user's id; None without a user."""
        return self.event.user.user_id if self.event.user.HasField("user_id") else None

    @property
    def anonymous_user_id(self) -> str | None:
        """The id of a user who is not signed in; None if missing."""
        return self.event.user.anonymous_user_id or None

    @property
    def feature_flags(self) -> dict[str, str]:
        """The feature flags; a `bool` is `true` or `false`."""
        return dict(self.event.feature_flags.flags)

    @property
    def interaction_id(self) -> str | None:
        """The id shared by the events of one interaction; None if missing."""
        return self.event.interaction.interaction_id or None

    @property
    def country_code(self) -> str | None:
        """The two-letter country code; None if missing."""
        return self.event.interaction.geolocation.country_code or None

    @property
    def client(self) -> Client | None:
        """The user's client program; None if missing."""
        if not self.event.source.HasField("client"):
            return None
        return Client(self.event.source.client.name, self.event.source.client.version or None)

    @property
    def leaves(self) -> bool:
        """Whether it may be exported, by its recorder's export mode and consent, and the user's feature flag."""
        return isinstance(self._store, _Exporting) and self._store.policy.allows(self.event)

    @property
    def exported_form(self) -> "RecordedEvent":
        """The event as it would be exported: redacted by the allowlist of its recorder.

        Raises:
            RedactionError: The event cannot be redacted; such an event is never exported.
        """
        redactor = self._store.redactor if isinstance(self._store, _Exporting) else Redactor()
        redacted = pb.Event()
        redacted.CopyFrom(self.event)
        redactor.redact(redacted)
        return RecordedEvent(redacted, self._store)

    def __repr__(self) -> str:
        shown = ("user_id", "anonymous_user_id", "metadata", "private_metadata")
        values = (f"{name}={value!r}" for name in shown if (value := getattr(self, name)))
        return " ".join((self.name, *values))
