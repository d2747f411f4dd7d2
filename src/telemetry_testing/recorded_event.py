"""An event as a test sees it."""

from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from google.protobuf.json_format import MessageToDict

from recorder import EventStore
from telemetry import Client, ExportPolicy, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb


@runtime_checkable
class _Exporting(Protocol):
    """A store that lets events leave."""

    policy: ExportPolicy
    redactor: Redactor


class RecordedEvent:
    """An event that was recorded, whole: what is private is here, too. Made for tests, on a tester's own machine.

    Args:
        event: As it goes over the wire.
        store: The store of the recorder that it was recorded with; knows what would leave.
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
        """What it is about."""
        return self.event.feature

    @property
    def action(self) -> str:
        """What happened to it."""
        return self.event.action

    @property
    def name(self) -> str:
        """Feature and action, as `event_logs` has them."""
        return f"{self.feature}.{self.action}"

    @property
    def version(self) -> int:
        """The version of its parameters."""
        return self.event.parameters.version

    @property
    def metadata(self) -> dict[str, float]:
        """The numbers that may leave; a `bool` is 1 or 0."""
        return dict(self.event.parameters.metadata)

    @property
    def private_metadata(self) -> dict[str, Any] | None:
        """What is private; None where the event has none."""
        if not self.event.parameters.HasField("private_metadata"):
            return None
        return dict(MessageToDict(self.event.parameters.private_metadata))

    @property
    def billing(self) -> tuple[str, str] | None:
        """Product and category; None where the event is not billable."""
        if not self.event.parameters.HasField("billing_metadata"):
            return None
        return self.event.parameters.billing_metadata.product, self.event.parameters.billing_metadata.category

    @property
    def user_id(self) -> int | None:
        """The user's number."""
        return self.event.user.user_id if self.event.user.HasField("user_id") else None

    @property
    def anonymous_user_id(self) -> str | None:
        """Stands for a person who is not signed in."""
        return self.event.user.anonymous_user_id or None

    @property
    def feature_flags(self) -> dict[str, str]:
        """The flags; a `bool` is `true` or `false`."""
        return dict(self.event.feature_flags.flags)

    @property
    def interaction_id(self) -> str | None:
        """Ties together the events of one interaction."""
        return self.event.interaction.interaction_id or None

    @property
    def country_code(self) -> str | None:
        """Two letters."""
        return self.event.interaction.geolocation.country_code or None

    @property
    def client(self) -> Client | None:
        """The program in front of the user."""
        if not self.event.source.HasField("client"):
            return None
        return Client(self.event.source.client.name, self.event.source.client.version or None)

    @property
    def leaves(self) -> bool:
        """Whether it may leave the instance: export mode, consent and the user's switch, of its own recorder."""
        return isinstance(self._store, _Exporting) and self._store.policy.allows(self.event)

    @property
    def exported_form(self) -> "RecordedEvent":
        """What of it would leave, if it may: the event without all that the allowlist of its own recorder keeps here.

        Raises:
            RedactionError: It could not be redacted; such an event never leaves.
        """
        redactor = self._store.redactor if isinstance(self._store, _Exporting) else Redactor()
        redacted = pb.Event()
        redacted.CopyFrom(self.event)
        redactor.redact(redacted)
        return RecordedEvent(redacted, self._store)

    def __repr__(self) -> str:
        shown = ("user_id", "anonymous_user_id", "metadata", "private_metadata")
        told = (f"{name}={value!r}" for name in shown if (value := getattr(self, name)))
        return " ".join((self.name, *told))
