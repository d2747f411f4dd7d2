"""HTTP service that records events from clients that are not Python backends."""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
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
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "AuthenticatorUnavailableError": "errors",
            "Caller": "auth",
            "CallerAuthenticator": "auth",
            "IngestError": "errors",
            "IngestSettings": "settings",
            "InvalidCredentialsError": "errors",
            "InvalidRequestError": "errors",
            "InvalidTokensError": "errors",
            "NotPermittedError": "errors",
            "create_app": "app",
        },
        extra="ingest",
    )

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
