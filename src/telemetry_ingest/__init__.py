"""HTTP service that records events from clients that are not Python backends."""

from telemetry_ingest.app import create_app
from telemetry_ingest.auth import Caller, CallerAuthenticator
from telemetry_ingest.errors import (
    AuthenticatorUnavailableError,
    IngestError,
    InvalidCredentialsError,
    InvalidRequestError,
    InvalidTokensError,
    NotPermittedError,
)
from telemetry_ingest.settings import IngestSettings

__all__ = [
    "AuthenticatorUnavailableError",
    "Caller",
    "CallerAuthenticator",
    "IngestError",
    "IngestSettings",
    "InvalidCredentialsError",
    "InvalidRequestError",
    "InvalidTokensError",
    "NotPermittedError",
    "create_app",
]
