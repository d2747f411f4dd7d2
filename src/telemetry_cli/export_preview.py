"""Previews: what an exporter would send of a waiting event now, and the rules that decide it."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from telemetry import ExportPolicy, RedactionError, Redactor
from telemetry.explanation import Explanation, HeldBack, explain
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_cli.event_content import event_content

OUTSIDE_THE_MODE = "not covered by TELEMETRY_EXPORT_MODE"
UNREADABLE = "cannot be read or redacted; will become a dead letter"


@dataclass(frozen=True, slots=True)
class ExportPreview:
    """The part of an event that may be exported.

    Attributes:
        id: The event's id.
        name: Its feature and action; None if it cannot be read.
        sent: The event exactly as it would be sent; None if it would not be sent.
        held_because: Why the event would not be sent; None if it would be.
        held_back: The parts of the event that would not be sent, each with the rule.
    """

    id: str
    name: str | None
    sent: pb.Event | None
    held_because: str | None
    held_back: tuple[HeldBack, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the preview for `--json`. The event is as a gateway publishes it; null if JSON cannot represent it."""
        return {
            "id": self.id,
            "leaves": self.sent is not None,
            "held_because": self.held_because,
            "event": None if self.sent is None else event_content(self.sent),
            "held_back": [
                {"part": held.place, "rule": held.rule.value, "because": held.because, "in_queue": held.present}
                for held in self.held_back
            ],
        }


def preview_event(event_id: str, payload: bytes, *, policy: ExportPolicy, redactor: Redactor) -> ExportPreview:
    """Return what may be exported of a queued event now, redacted exactly as by the exporter."""
    event = pb.Event()
    explanation: Explanation | None = None
    try:
        event.ParseFromString(payload)
        explanation = explain(event, redactor)
    except (DecodeError, RedactionError):
        pass
    if explanation is None or event.id != event_id:
        return ExportPreview(event_id, None, None, UNREADABLE, ())
    name = f"{event.feature} {event.action}"
    # SECURITY: the same check as in the exporter, so that the preview never differs from what is sent.
    if not policy.covers(event.feature):
        return ExportPreview(event_id, name, None, policy.obstacle or OUTSIDE_THE_MODE, explanation.held_back)
    return ExportPreview(event_id, name, explanation.redacted, None, explanation.held_back)
