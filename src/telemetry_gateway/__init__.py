"""The gateway: receives events from exporters and publishes each event once before it acknowledges the event."""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
    from telemetry_gateway.checks import GatewayCheck, check_gateway
    from telemetry_gateway.errors import (
        AuthenticatorUnavailableError,
        DeduplicationError,
        DrainingError,
        GatewayServiceError,
        InvalidServiceTokensError,
        InvalidStreamError,
        ListenError,
        OverLimitError,
        PermissionDeniedError,
        RejectsError,
        SilentStreamError,
        SinkBrokenError,
        SinkError,
        SinkRefusedError,
        UnauthenticatedError,
    )
    from telemetry_gateway.identity.auth import AnyOf, Authenticator, StaticTokens
    from telemetry_gateway.identity.identification import LicenseCheck
    from telemetry_gateway.identity.service_tokens import ServiceTokensFile
    from telemetry_gateway.metrics import GatewayMetrics
    from telemetry_gateway.publishing.rejects import Reject, read_rejects
    from telemetry_gateway.publishing.replay import ReplayReport, replay_rejects
    from telemetry_gateway.server import GatewayServer, serve
    from telemetry_gateway.settings import GatewaySettings, SinkKind
    from telemetry_gateway.sinks import JsonlSink, Message, Rotation, Sink, StdoutSink
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "AnyOf": "identity.auth",
            "Authenticator": "identity.auth",
            "AuthenticatorUnavailableError": "errors",
            "DeduplicationError": "errors",
            "DrainingError": "errors",
            "GatewayCheck": "checks",
            "GatewayMetrics": "metrics",
            "GatewayServer": "server",
            "GatewayServiceError": "errors",
            "GatewaySettings": "settings",
            "InvalidServiceTokensError": "errors",
            "InvalidStreamError": "errors",
            "JsonlSink": "sinks",
            "LicenseCheck": "identity.identification",
            "ListenError": "errors",
            "Message": "sinks",
            "OverLimitError": "errors",
            "PermissionDeniedError": "errors",
            "Reject": "publishing.rejects",
            "RejectsError": "errors",
            "ReplayReport": "publishing.replay",
            "Rotation": "sinks",
            "ServiceTokensFile": "identity.service_tokens",
            "SilentStreamError": "errors",
            "Sink": "sinks",
            "SinkBrokenError": "errors",
            "SinkError": "errors",
            "SinkKind": "settings",
            "SinkRefusedError": "errors",
            "StaticTokens": "identity.auth",
            "StdoutSink": "sinks",
            "UnauthenticatedError": "errors",
            "check_gateway": "checks",
            "read_rejects": "publishing.rejects",
            "replay_rejects": "publishing.replay",
            "serve": "server",
        },
        extra="gateway",
    )

__all__ = [
    "AnyOf",
    "Authenticator",
    "AuthenticatorUnavailableError",
    "DeduplicationError",
    "DrainingError",
    "GatewayCheck",
    "GatewayMetrics",
    "GatewayServer",
    "GatewayServiceError",
    "GatewaySettings",
    "InvalidServiceTokensError",
    "InvalidStreamError",
    "JsonlSink",
    "LicenseCheck",
    "ListenError",
    "Message",
    "OverLimitError",
    "PermissionDeniedError",
    "Reject",
    "RejectsError",
    "ReplayReport",
    "Rotation",
    "ServiceTokensFile",
    "SilentStreamError",
    "Sink",
    "SinkBrokenError",
    "SinkError",
    "SinkKind",
    "SinkRefusedError",
    "StaticTokens",
    "StdoutSink",
    "UnauthenticatedError",
    "check_gateway",
    "read_rejects",
    "replay_rejects",
    "serve",
]
