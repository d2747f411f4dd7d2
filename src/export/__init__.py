"""Export of queued events: lease them from the queue, redact them, stream them to a gateway."""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
    from export.cleanup import Cleanup, CleanupReport
    from export.errors import CredentialsError, ExportError, FailureKind, GatewayError, NotRecordedError
    from export.exporter import Exporter
    from export.gateway_client import Gateway, GatewayClient
    from export.gateway_store import GatewayStore
    from export.jobs import ExportJobs
    from export.metrics import ExportMetrics
    from export.pass_settings import PassSettings
    from export.settings import ExporterSettings
    from telemetry_store.pass_report import PassOutcome, PassReport
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "Cleanup": "cleanup",
            "CleanupReport": "cleanup",
            "CredentialsError": "errors",
            "ExportError": "errors",
            "ExportJobs": "jobs",
            "ExportMetrics": "metrics",
            "Exporter": "exporter",
            "ExporterSettings": "settings",
            "FailureKind": "errors",
            "Gateway": "gateway_client",
            "GatewayClient": "gateway_client",
            "GatewayError": "errors",
            "GatewayStore": "gateway_store",
            "NotRecordedError": "errors",
            "PassOutcome": "metrics",
            "PassReport": "exporter",
            "PassSettings": "pass_settings",
        },
        extra="export",
    )

__all__ = [
    "Cleanup",
    "CleanupReport",
    "CredentialsError",
    "ExportError",
    "ExportJobs",
    "ExportMetrics",
    "Exporter",
    "ExporterSettings",
    "FailureKind",
    "Gateway",
    "GatewayClient",
    "GatewayError",
    "GatewayStore",
    "NotRecordedError",
    "PassOutcome",
    "PassReport",
    "PassSettings",
]
