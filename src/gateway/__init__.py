"""The receiving end: takes events from exporters and publishes them, each once, before it acknowledges."""

from gateway.auth import AnyOf, Authenticator, StaticTokens
from gateway.checks import Check, check_gateway
from gateway.errors import (
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
from gateway.identification import LicenseCheck
from gateway.metrics import GatewayMetrics
from gateway.rejects import Reject, read_rejects
from gateway.replay import ReplayReport, replay_rejects
from gateway.server import GatewayServer, serve
from gateway.service_tokens import ServiceTokensFile
from gateway.settings import GatewaySettings, SinkKind
from gateway.sinks import JsonlSink, Message, Rotation, Sink, StdoutSink

__all__ = [
    "AnyOf",
    "Authenticator",
    "AuthenticatorUnavailableError",
    "Check",
    "DeduplicationError",
    "DrainingError",
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
