"""What can go wrong between the queue and the gateway. Nothing of it loses an event."""

import enum
from collections.abc import Mapping
from typing import Any

import grpc

from telemetry import TelemetryError


class ExportError(TelemetryError):
    """Base of what goes wrong on the way out. The events stay in the queue."""


class CredentialsError(ExportError):
    """No token could be had for the gateway."""


class NotRecordedError(ExportError):
    """Events that were to be recorded straight at a gateway did not all get there.

    Recording the same events again, under their ids, repeats none: the gateway recognizes them.

    Attributes:
        recorded: How many of them the gateway holds durably all the same.
        rejected: The ids of those that it will never take, each with its reason.
    """

    def __init__(self, total: int, recorded: int, rejected: Mapping[str, str], problem: str) -> None:
        super().__init__(f"{total - recorded} of {total} events were not recorded: {problem}")
        self.total = total
        self.recorded = recorded
        self.rejected = dict(rejected)
        self.problem = problem
        self.affects_every_event = not rejected

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets the error cross process borders whole."""
        return type(self), (self.total, self.recorded, self.rejected, self.problem)


class FailureKind(enum.Enum):
    """What a stream's failure says of the events that it carried."""

    OUTAGE = "outage"
    """Nothing: the gateway is away, slow or busy. Back off and send again."""
    REFUSED = "refused"
    """Nothing: credentials, identity or address are wrong. An operator must act; the next pass tries again."""
    TOO_LARGE = "too_large"
    """A message was larger than the gateway takes. Split and send again."""
    UNCLEAR = "unclear"
    """Perhaps one of the events cannot be taken. Split to find out; outages look the same."""


_KINDS = {
    grpc.StatusCode.UNAVAILABLE: FailureKind.OUTAGE,
    grpc.StatusCode.DEADLINE_EXCEEDED: FailureKind.OUTAGE,
    grpc.StatusCode.CANCELLED: FailureKind.OUTAGE,
    grpc.StatusCode.ABORTED: FailureKind.OUTAGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: FailureKind.OUTAGE,
    grpc.StatusCode.UNAUTHENTICATED: FailureKind.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: FailureKind.REFUSED,
    grpc.StatusCode.UNIMPLEMENTED: FailureKind.REFUSED,
    grpc.StatusCode.FAILED_PRECONDITION: FailureKind.REFUSED,
    grpc.StatusCode.NOT_FOUND: FailureKind.REFUSED,
}
_SIZE_WORDS = ("larger than max", "too large", "message size")


class GatewayError(ExportError):
    """A stream to the gateway failed.

    Attributes:
        code: The gRPC status, or `CREDENTIALS` where none was reached.
        kind: What it says of the events.
        token_refused: Whether a new token may help.
    """

    def __init__(self, code: str, kind: FailureKind, details: str) -> None:
        super().__init__(f"{code}: {details}" if details else code)
        self.code = code
        self.kind = kind
        # An expired token is PERMISSION_DENIED, by the wire contract.
        self.token_refused = code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}

    @classmethod
    def from_status(cls, code: grpc.StatusCode, details: str) -> "GatewayError":
        """Returns the error for a gRPC status."""
        kind = _KINDS.get(code, FailureKind.UNCLEAR)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and any(words in details.lower() for words in _SIZE_WORDS):
            kind = FailureKind.TOO_LARGE
        return cls(code.name, kind, details)
