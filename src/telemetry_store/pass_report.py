"""What an export pass did, and how it ended: for its caller, the log, and the table of passes."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from telemetry.tracing import Span


class PassOutcome(StrEnum):
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
    """The process was stopped."""
    OFF = "off"
    """Export is switched off."""
    SETTINGS = "settings"
    """Consent and export mode cannot be read, and without them nothing is sent."""
    ALLOWLIST = "allowlist"
    """The allowlist cannot be read, and without it nothing is sent."""


_WELL: Final = frozenset({PassOutcome.DRAINED, PassOutcome.STOPPED, PassOutcome.OFF})
_TRACED: Final = ("leased", "streams", "sent", "acked", "rejected", "dead", "held", "remaining", "bytes")


@dataclass(slots=True, kw_only=True)
class PassReport:
    """What a pass did; as read from the database, perhaps several in a row that moved nothing and ended alike.

    Attributes:
        request_id: Names the (first) pass; its streams are `<request_id>-1` and so on.
        started_at: When it began.
        last_at: When it, or the last of several, ended.
        passes: How many passes this stands for.
        outcome: How it ended: a `PassOutcome`, or another text if a newer version wrote it.
        problem: The last thing that went wrong on the way, in words that hold no secret; None where nothing did.
        leased: Rows leased, again after an outage included.
        streams: Streams opened.
        sent: Events handed to the transport.
        acked: Events acknowledged and marked.
        rejected: Events that the gateway said can never succeed.
        dead: Events that became dead letters, the rejected included.
        held: Events outside the export mode, given back.
        remaining: Unexported events after the pass; None when the database could not count them.
        bytes: Serialized size of the events sent.
        duration: Seconds; of the last of several.
    """

    request_id: str
    started_at: datetime
    last_at: datetime
    passes: int = 1
    outcome: str = PassOutcome.DRAINED
    problem: str | None = None
    leased: int = 0
    streams: int = 0
    sent: int = 0
    acked: int = 0
    rejected: int = 0
    dead: int = 0
    held: int = 0
    remaining: int | None = None
    bytes: int = 0
    duration: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether it ended in a way that needs no attention."""
        return self.outcome in _WELL

    def facts(self) -> dict[str, Any]:
        """Return what one pass did, by name, for the log and the command line."""
        facts = asdict(self)
        for name in ("started_at", "last_at", "passes"):
            del facts[name]
        return {**facts, "outcome": str(self.outcome)}

    def tell(self, current: Span) -> None:
        """Write what was done to a span, except the problem, which may be in a gateway's words."""
        facts = {f"telemetry.{name}": getattr(self, name) for name in _TRACED}
        current.set_attributes(
            {"telemetry.request_id": self.request_id, "telemetry.outcome": str(self.outcome), **facts}
        )
        if not self.is_well:
            current.fail(str(self.outcome))
