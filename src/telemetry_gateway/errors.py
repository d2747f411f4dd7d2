"""What can go wrong in a gateway."""

from telemetry import InvalidInputError, TelemetryError


class GatewayServiceError(TelemetryError):
    """Base of what goes wrong in a gateway."""


class SinkError(GatewayServiceError):
    """The sink did not take messages durably. None of them is acknowledged."""


class SinkBrokenError(SinkError):
    """The sink will not take anything more in this process; a restart is needed."""


class SinkRefusedError(SinkError):
    """The sink can be reached, but is set up so that it would lose acknowledged messages."""


class DeduplicationError(GatewayServiceError):
    """The record of published ids could not be read or written."""


class RejectsError(GatewayServiceError):
    """Rejected events could not be kept, or what is kept cannot be read."""


class InvalidServiceTokensError(GatewayServiceError, InvalidInputError):
    """The file of managed services' tokens breaks its format; says nothing that stands there."""


class ListenError(GatewayServiceError):
    """The gateway could not listen at its address."""


class UnauthenticatedError(GatewayServiceError):
    """A managed service sent no token, or none that can be read."""


class PermissionDeniedError(GatewayServiceError):
    """A publisher may not send as what it says it is."""


class AuthenticatorUnavailableError(GatewayServiceError):
    """Whether a token is good could not be found out."""


class SilentStreamError(GatewayServiceError):
    """A stream sent nothing for too long."""


class DrainingError(GatewayServiceError):
    """The gateway is stopping and takes no more of this stream."""


class OverLimitError(GatewayServiceError):
    """A publisher sends more than it may, or the gateway serves as many streams as it can.

    Attributes:
        retry_after: Seconds after which it is worth trying again.
        limit: Which limit: `events` or `bytes` of a publisher, or the gateway's `streams`.
    """

    def __init__(self, problem: str, retry_after: float, limit: str) -> None:
        super().__init__(problem)
        self.retry_after = retry_after
        self.limit = limit

    def __reduce__(self) -> tuple[type["OverLimitError"], tuple[str, float, str]]:
        """Lets the error cross process borders whole."""
        return type(self), (str(self), self.retry_after, self.limit)


class InvalidStreamError(InvalidInputError):
    """A peer breaks the stream's protocol, or says nothing usable of who it is."""
