"""Errors of the ingest service."""

from telemetry import InvalidInputError, TelemetryError


class IngestError(TelemetryError):
    """Base of the errors of the ingest service."""


class InvalidCredentialsError(IngestError):
    """The caller's credentials are malformed, invalid or expired."""


class NotPermittedError(IngestError):
    """The caller is not allowed to do this."""


class AuthenticatorUnavailableError(IngestError):
    """The credentials could not be checked."""


class InvalidTokensError(InvalidInputError):
    """The tokens file is invalid; `field` has the file and the line."""


class InvalidRequestError(InvalidInputError):
    """A GraphQL request asks for something not allowed, or for too much of it."""


class RefusedRequestError(IngestError):
    """A request is rejected before it is executed."""


class MethodNotAllowedError(RefusedRequestError):
    """The method of the request is not POST."""


class UnsupportedMediaTypeError(RefusedRequestError):
    """The body of the request is not JSON."""


class TooManyRequestsError(RefusedRequestError):
    """The client address exceeded its request rate.

    Attributes:
        retry_after: Seconds until the client can retry.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many requests from this address; retry later")
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type["TooManyRequestsError"], tuple[float]]:
        """Keep the attributes when the error is pickled."""
        return type(self), (self.retry_after,)


class BodyTooLargeError(RefusedRequestError):
    """The body of the request is larger than the limit."""


class BodyTooSlowError(RefusedRequestError):
    """The body of the request was not complete in time."""
