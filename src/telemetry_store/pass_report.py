"""The report of an export pass: for its caller, the log, and the table of passes."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from telemetry.tracing import Span


class PassOutcome(StrEnum):
    """How a pass ended."""

    DRAINED = "drained"
    """All due events were sent."""
    OUTAGE = "outage"
    """The gateway stayed unavailable."""
    REFUSED = "refused"
    """The gateway rejected credentials, identity or protocol."""
    DATABASE = "database"
    """The queue's database failed."""
    STOPPED = "stopped"
    """The process was stopped."""
    OFF = "off"
    """Export is switched off."""
    SETTINGS = "settings"
    """Consent and export mode cannot be read; nothing is sent without them."""
    ALLOWLIST = "allowlist"
    """The allowlist cannot be read; nothing is sent without it."""


_WELL: Final = frozenset({PassOutcome.DRAINED, PassOutcome.STOPPED, PassOutcome.OFF})
_TRACED: Final = ("leased", "streams", "sent", "acked", "rejected", "dead", "held", "remaining", "bytes")


@dataclass(slots=True, kw_only=True)
class PassReport:
    """What a pass did. A report read from the database may stand for several passes that sent nothing and ended alike.

    Attributes:
        request_id: The id of the (first) pass; its streams are `<request_id>-1` and so on.
        started_at: When it began.
        last_at: When it, or the last of several, ended.
        passes: How many passes the report stands for.
        outcome: How it ended: a `PassOutcome`, or another text if a newer version wrote it.
        problem: The last error during the pass, in text without secrets; None if there was none.
        leased: Rows leased, including those leased again after an outage.
        streams: Streams opened.
        sent: Events handed to the transport.
        acked: Events acknowledged and marked.
        rejected: Events that the gateway rejected permanently.
        dead: Events that became dead letters, including the rejected ones.
        held: Events outside the export mode, released unsent.
        remaining: Unexported events after the pass; None when the database could not count them.
        bytes: Serialized size of the events sent.
        duration: In seconds; of the last pass if there are several.
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
        """Whether the pass ended in a way that needs no attention."""
        return self.outcome in _WELL

    def facts(self) -> dict[str, Any]:
        """Return the values of one pass by name, for the log and the command line."""
        facts = asdict(self)
        for name in ("started_at", "last_at", "passes"):
            del facts[name]
        return {**facts, "outcome": str(self.outcome)}

    def set_attributes_of(self, span: Span) -> None:
        """Set a span's attributes, except the problem, which may quote a gateway's text."""
        facts = {f"telemetry.{name}": getattr(self, name) for name in _TRACED}
        span.set_attributes({"telemetry.request_id": self.request_id, "telemetry.outcome": str(self.outcome), **facts})
        if not self.is_well:
            span.fail(str(self.outcome))
