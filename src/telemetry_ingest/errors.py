"""What can go wrong between a client and the recorder."""

from telemetry import InvalidInputError, TelemetryError


class IngestError(TelemetryError):
    """Base of what goes wrong in the ingest service."""


class InvalidCredentialsError(IngestError):
    """The caller's credentials cannot be read, or are not, or no longer, good."""


class NotPermittedError(IngestError):
    """The caller may not do this."""


class AuthenticatorUnavailableError(IngestError):
    """Whether credentials are good could not be found out."""


class InvalidTokensError(InvalidInputError):
    """The tokens file breaks its format; `field` says the file and the line."""


class InvalidRequestError(InvalidInputError):
    """A GraphQL request asks for something that it may not, or not so much of."""


class RefusedRequestError(IngestError):
    """A request is not served as it is."""


class MethodNotAllowedError(RefusedRequestError):
    """It comes with another method than POST."""


class UnsupportedMediaTypeError(RefusedRequestError):
    """Its body is of another type than JSON."""


class TooManyRequestsError(RefusedRequestError):
    """Its address sends too much.

    Attributes:
        retry_after: Seconds after which it may come again.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__("this address sends too much; come back later")
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type["TooManyRequestsError"], tuple[float]]:
        """Lets the error cross process borders whole."""
        return type(self), (self.retry_after,)


class BodyTooLargeError(RefusedRequestError):
    """Its body is larger than the limit."""


class BodyTooSlowError(RefusedRequestError):
    """Its body was not whole in time."""
