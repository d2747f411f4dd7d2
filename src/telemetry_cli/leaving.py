"""What would become of a waiting event if an exporter took it now, with the rules that say so."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from telemetry import ExportPolicy, RedactionError, Redactor
from telemetry.explanation import Explanation, HeldBack, explain
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_cli.event_content import event_content

OUTSIDE_THE_MODE = "outside TELEMETRY_EXPORT_MODE"
UNREADABLE = "cannot be read or redacted; will become a dead letter"


@dataclass(frozen=True, slots=True)
class Leaving:
    """What of an event may leave.

    Attributes:
        id: The event's id.
        name: Its feature and action; None where it cannot be read.
        sent: The event exactly as it would be sent; None where none of it may leave.
        held_because: Why none of it may leave; None where some of it may.
        held_back: Its parts that stay, each with the rule that holds it.
    """

    id: str
    name: str | None
    sent: pb.Event | None
    held_because: str | None
    held_back: tuple[HeldBack, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns it for `--json`. The event is as a gateway publishes it; null where JSON has no words for it."""
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


def judge(event_id: str, payload: bytes, *, policy: ExportPolicy, redactor: Redactor) -> Leaving:
    """Returns what of a queued event may leave now, redacted just as the exporter would do it."""
    event = pb.Event()
    explanation: Explanation | None = None
    try:
        event.ParseFromString(payload)
        explanation = explain(event, redactor)
    except (DecodeError, RedactionError):
        pass
    if explanation is None or event.id != event_id:
        return Leaving(event_id, None, None, UNREADABLE, ())
    name = f"{event.feature} {event.action}"
    # SECURITY: as the exporter asks, so that nothing is shown as leaving that would stay, or the other way round.
    if not policy.covers(event.feature):
        return Leaving(event_id, name, None, policy.obstacle or OUTSIDE_THE_MODE, explanation.held_back)
    return Leaving(event_id, name, explanation.redacted, None, explanation.held_back)
