"""Errors between the queue and the gateway. Whatever fails, no event is lost."""

import enum
from collections.abc import Mapping
from typing import Any

import grpc

from telemetry import TelemetryError


class ExportError(TelemetryError):
    """Base class of export errors. The events stay in the queue."""


class CredentialsError(ExportError):
    """Getting a token for the gateway failed."""


class NotRecordedError(ExportError):
    """Some events that were to be recorded directly at a gateway were not.

    Recording the same events again with the same ids is safe: the gateway recognizes duplicates.

    Attributes:
        recorded: Number of events that the gateway holds durably.
        rejected: Ids of the events that the gateway rejects permanently, each with its reason.
    """

    def __init__(self, total: int, recorded: int, rejected: Mapping[str, str], problem: str) -> None:
        super().__init__(f"{total - recorded} of {total} events were not recorded: {problem}")
        self.total = total
        self.recorded = recorded
        self.rejected = dict(rejected)
        self.problem = problem
        self.affects_every_event = not rejected

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling, so that the error can be passed between processes."""
        return type(self), (self.total, self.recorded, self.rejected, self.problem)


class FailureKind(enum.Enum):
    """What the failure of a stream means for its events."""

    OUTAGE = "outage"
    """Nothing: the gateway is unreachable, slow or busy. Back off and send again."""
    REFUSED = "refused"
    """Nothing: the credentials, the identity or the address are wrong. An operator must act; the next pass retries."""
    TOO_LARGE = "too_large"
    """A message was larger than the gateway accepts. Split it and send again."""
    UNCLEAR = "unclear"
    """The gateway may be unable to accept one of the events, or may be down. Split to find out."""


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
        code: The gRPC status, or `CREDENTIALS` if no token could be obtained.
        kind: What it means for the events.
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
        """Return the error for a gRPC status."""
        kind = _KINDS.get(code, FailureKind.UNCLEAR)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and any(words in details.lower() for words in _SIZE_WORDS):
            kind = FailureKind.TOO_LARGE
        return cls(code.name, kind, details)
