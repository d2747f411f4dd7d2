"""Events over HTTP, from clients that are not Python backends."""

from ingest.app import create_app
from ingest.auth import Authenticator, Caller
from ingest.errors import (
    AuthenticatorUnavailableError,
    IngestError,
    InvalidCredentialsError,
    InvalidRequestError,
    InvalidTokensError,
    NotPermittedError,
)
from ingest.settings import IngestSettings

__all__ = [
    "Authenticator",
    "AuthenticatorUnavailableError",
    "Caller",
    "IngestError",
    "IngestSettings",
    "InvalidCredentialsError",
    "InvalidRequestError",
    "InvalidTokensError",
    "NotPermittedError",
    "create_app",
]
