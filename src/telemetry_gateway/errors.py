"""The errors of a gateway."""

from telemetry import InvalidInputError, TelemetryError


class GatewayServiceError(TelemetryError):
    """Base class of the gateway's errors."""


class SinkError(GatewayServiceError):
    """The sink did not store messages durably. None of them is acknowledged."""


class SinkBrokenError(SinkError):
    """The sink accepts no more messages in this process; the gateway must be restarted."""


class SinkRefusedError(SinkError):
    """The sink can be reached, but its configuration would lose acknowledged messages."""


class DeduplicationError(GatewayServiceError):
    """The file of published ids cannot be read or written."""


class RejectsError(GatewayServiceError):
    """The file of rejected events cannot be written or read."""


class InvalidServiceTokensError(GatewayServiceError, InvalidInputError):
    """The file of managed services' tokens is invalid. The message shows none of its content."""


class ListenError(GatewayServiceError):
    """The gateway cannot listen on its address."""


class UnauthenticatedError(GatewayServiceError):
    """A managed service sent no token, or a malformed one."""


class PermissionDeniedError(GatewayServiceError):
    """A publisher is not authorized to send under its identifier."""


class AuthenticatorUnavailableError(GatewayServiceError):
    """A token cannot be checked now."""


class SilentStreamError(GatewayServiceError):
    """A stream sent nothing for too long."""


class DrainingError(GatewayServiceError):
    """The gateway is stopping and accepts no more messages of this stream."""


class OverLimitError(GatewayServiceError):
    """A publisher exceeds its rate limit, or the gateway has reached its limit of streams.

    Attributes:
        retry_after: The seconds after which to retry.
        limit: The limit that was exceeded: `events` or `bytes` of a publisher, or the gateway's `streams`.
    """

    def __init__(self, problem: str, retry_after: float, limit: str) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        self.limit = limit

    def __reduce__(self) -> tuple[type["OverLimitError"], tuple[str, float, str]]:
        """Support pickling."""
        return type(self), (str(self), self.retry_after, self.limit)


class InvalidStreamError(InvalidInputError):
    """A client violates the protocol of the stream, or its identifier is not valid."""
