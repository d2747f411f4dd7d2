"""Gets events out: leases them from the queue, redacts them, streams them to a gateway."""

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
