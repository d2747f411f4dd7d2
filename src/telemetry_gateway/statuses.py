"""The gRPC statuses of errors."""

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from telemetry import TelemetryError
from telemetry_gateway.errors import (
    AuthenticatorUnavailableError,
    DrainingError,
    InvalidStreamError,
    OverLimitError,
    PermissionDeniedError,
    SilentStreamError,
    UnauthenticatedError,
)

DETAILS_KEY: Final = "grpc-status-details-bin"

_CODES: Final[tuple[tuple[type[TelemetryError], grpc.StatusCode], ...]] = (
    (InvalidStreamError, grpc.StatusCode.INVALID_ARGUMENT),
    (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (AuthenticatorUnavailableError, grpc.StatusCode.UNAVAILABLE),
    (SilentStreamError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (DrainingError, grpc.StatusCode.UNAVAILABLE),
    (OverLimitError, grpc.StatusCode.RESOURCE_EXHAUSTED),
)


def status_of(error: TelemetryError) -> tuple[grpc.StatusCode, str]:
    """Return code and details for a client. Details of internal errors are only in the gateway's log."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, str(error)
    return grpc.StatusCode.UNAVAILABLE, "the batch was not accepted; send it again later"


def retry_info(error: OverLimitError, details: str) -> bytes:
    """Return a serialized `google.rpc.Status` with the delay after which the client should retry."""
    nanos = int(error.retry_after * 1e9)
    info = RetryInfo(retry_delay=Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000))
    detail = Any()
    detail.Pack(info)
    code: int = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    serialized: bytes = Status(code=code, message=details, details=[detail]).SerializeToString()
    return serialized
