"""What an export pass did, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from telemetry.tracing import Span
from telemetry_store.export_runs import ExportRun


class Outcome(Enum):
    """How a pass ended."""

    DRAINED = "drained"
    """Nothing that is due is left."""
    OUTAGE = "outage"
    """The gateway stayed away."""
    REFUSED = "refused"
    """The gateway refused credentials, identity or protocol."""
    DATABASE = "database"
    """The queue's database failed."""
    STOPPED = "stopped"
    """The process was told to stop."""
    OFF = "off"
    """Export is switched off."""
    SETTINGS = "settings"
    """Consent and export mode cannot be read, and without them nothing is sent."""
    ALLOWLIST = "allowlist"
    """The allowlist cannot be read, and without it nothing is sent."""

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to look at it."""
        return self in (Outcome.DRAINED, Outcome.STOPPED, Outcome.OFF)


@dataclass(slots=True)
class PassReport:
    """What a pass did.

    Attributes:
        request_id: Names the pass; its streams are `<request_id>-1` and so on.
        outcome: How it ended.
        problem: The last thing that went wrong on the way, in words; where the pass did not end well, why.
        leased: Rows leased, again after an outage included.
        streams: Streams opened.
        sent: Events handed to the transport.
        acked: Events acknowledged and marked.
        rejected: Events that the gateway said can never succeed.
        dead: Events that became dead letters, the rejected included.
        held: Events outside the export mode, given back.
        left: Unexported events after the pass; None when the database could not tell.
        bytes: Serialized size of the events sent.
        duration: Seconds.
    """

    request_id: str
    outcome: Outcome = Outcome.DRAINED
    problem: str | None = None
    leased: int = 0
    streams: int = 0
    sent: int = 0
    acked: int = 0
    rejected: int = 0
    dead: int = 0
    held: int = 0
    left: int | None = None
    bytes: int = 0
    duration: float = 0.0

    def as_run(self, started_at: datetime, ended_at: datetime) -> ExportRun:
        """Returns it as the database keeps it."""
        return ExportRun(
            request_id=self.request_id,
            started_at=started_at,
            last_at=ended_at,
            duration=self.duration,
            outcome=self.outcome.value,
            problem=self.problem,
            leased=self.leased,
            streams=self.streams,
            sent=self.sent,
            acked=self.acked,
            rejected=self.rejected,
            dead=self.dead,
            held=self.held,
            remaining=self.left,
            bytes=self.bytes,
        )

    def tell(self, current: Span) -> None:
        """Tells a span what was done. Not the problem, which may be in a gateway's words."""
        current.tell(
            {
                "telemetry.request_id": self.request_id,
                "telemetry.outcome": self.outcome.value,
                "telemetry.leased": self.leased,
                "telemetry.streams": self.streams,
                "telemetry.sent": self.sent,
                "telemetry.acked": self.acked,
                "telemetry.rejected": self.rejected,
                "telemetry.dead": self.dead,
                "telemetry.held": self.held,
                "telemetry.left": self.left,
                "telemetry.bytes": self.bytes,
            }
        )
        if not self.outcome.is_well:
            current.fail(self.outcome.value)
