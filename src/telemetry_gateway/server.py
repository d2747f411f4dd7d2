"""The gateway's server: listen, serve, drain."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from telemetry.logger import get_logger
from telemetry_gateway.assembly import make_authenticator, make_sink, recovered_queue
from telemetry_gateway.certificates import renewed_credentials
from telemetry_gateway.errors import ListenError
from telemetry_gateway.identity.auth import Authenticator
from telemetry_gateway.identity.identification import Identification, LicenseCheck
from telemetry_gateway.intake import Intake
from telemetry_gateway.limits import PublisherLimits
from telemetry_gateway.metrics import GatewayMetrics
from telemetry_gateway.publishing.patience import Patience
from telemetry_gateway.publishing.rejects import RejectsFile
from telemetry_gateway.service import SERVICE_NAME, TelemetryGatewayService
from telemetry_gateway.settings import GatewaySettings
from telemetry_gateway.sinks import Sink
from telemetry_runtime.listening import certificate_pair, join_listen_address, split_listen_address
from telemetry_runtime.metrics_port import MetricsPort, serve_metrics

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
_MAX_HEADERS_BYTES: Final = 16 * 1024
# The service rejects streams over the limit itself, so that the status can include a retry delay. Above this margin,
# which health checks use, too, gRPC rejects calls.
_SPARE_CALLS: Final = 64

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_log = get_logger(__name__)


class GatewayServer:
    """A gateway server.

    Args:
        settings: The gateway's settings.
        sink: The sink to publish to; by default created from the settings.
        authenticator: Authenticates managed services; by default created from the settings.
        license_check: Checks license keys; by default every key is accepted.

    Attributes:
        metrics: The gateway's metrics.
        metrics_address: The address of the metrics port, `host:port`, or None if metrics are not served.

    Raises:
        SinkError: The sink cannot be opened.
        DeduplicationError: The deduplication file cannot be used.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        sink: Sink | None = None,
        authenticator: Authenticator | None = None,
        license_check: LicenseCheck | None = None,
    ) -> None:
        self._settings = GatewaySettings.checked(settings)
        self.metrics = GatewayMetrics()
        # First the parts that hold no resources to release on failure.
        identification = Identification(authenticator or make_authenticator(settings), license_check)
        sink = make_sink(settings) if sink is None else sink
        self._queue = recovered_queue(settings, sink, self.metrics)
        self._patience = Patience(settings.stream_silence)
        self._service = TelemetryGatewayService(
            Intake(
                self._queue,
                limits=PublisherLimits(
                    settings.events_per_second,
                    settings.bytes_per_second,
                    burst_seconds=settings.burst.total_seconds(),
                ),
                rejects=RejectsFile(settings.rejects_file, settings.rejects_max_bytes),
            ),
            identification=identification,
            patience=self._patience,
            max_message_bytes=sink.max_message_bytes,
            max_streams=settings.max_streams,
            metrics=self.metrics,
        )
        self._health: Any = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        self._server: Any = None
        self._stopped = False
        self._watch: asyncio.Task[None] | None = None
        self._metrics_port: MetricsPort | None = None
        self.metrics_address: str | None = None

    async def start(self) -> str:
        """Start listening; return the address, `host:port`.

        Raises:
            ListenError: The address is in use, or does not belong to this machine.
            MetricsPortError: The same for the address of the metrics.
        """
        server = grpc.aio.server(
            options=_options(self._settings), maximum_concurrent_rpcs=self._settings.max_streams + _SPARE_CALLS
        )
        server.add_generic_rpc_handlers((self._service.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        self._serve_metrics()
        host, _ = split_listen_address(self._settings.listen_addr)
        try:
            port = self._add_port(server)
        except RuntimeError:
            port = 0
        if port == 0:
            raise ListenError(
                f"cannot listen on {self._settings.listen_addr}: it is in use, or not an address of this machine"
            )
        await server.start()
        self._server = server
        for name in ("", SERVICE_NAME):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._watch = asyncio.create_task(self._watch_sink())
        return join_listen_address(host, port)

    async def stop(self) -> None:
        """Accept no new streams, wait for open ones up to the drain timeout, then close the sink. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            self._patience.drain()
            await self._server.stop(self._settings.drain_timeout.total_seconds())
        await self._queue.close()
        if self._metrics_port is not None:
            await asyncio.to_thread(self._metrics_port.stop)

    async def _watch_sink(self) -> None:
        """Report NOT_SERVING to health checks when the sink is broken and the gateway must be restarted."""
        await self._queue.broken.wait()
        for name in ("", SERVICE_NAME):
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)

    def _serve_metrics(self) -> None:
        if self._settings.metrics_addr is not None:
            self._metrics_port = serve_metrics(self.metrics.registry, self._settings.metrics_addr)
            self.metrics_address = self._metrics_port.address
            _log.info("metrics served", address=self.metrics_address)

    def _add_port(self, server: Any) -> int:
        settings = self._settings
        pair = certificate_pair(settings)
        if pair is None:
            return int(server.add_insecure_port(settings.listen_addr))
        credentials = renewed_credentials(*pair, settings.tls_client_ca_file)
        return int(server.add_secure_port(settings.listen_addr, credentials))


async def serve(settings: GatewaySettings, *, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: The gateway's settings.
        on_ready: Called with the address when clients can connect.

    Raises:
        GatewayServiceError: The gateway could not start.
    """
    server = GatewayServer(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in _STOP_SIGNALS:
        loop.add_signal_handler(signal_number, stopping.set)
    try:
        address = await server.start()
        _log.info("gateway ready", address=address, sink=settings.sink.value)
        on_ready(address)
        await stopping.wait()
        _log.info("gateway drains", timeout_seconds=settings.drain_timeout.total_seconds())
    finally:
        await server.stop()
        for signal_number in _STOP_SIGNALS:
            loop.remove_signal_handler(signal_number)
    _log.info("gateway stopped")


def _options(settings: GatewaySettings) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
        ("grpc.max_metadata_size", _MAX_HEADERS_BYTES),
        ("grpc.max_concurrent_streams", settings.max_streams + _SPARE_CALLS),
        # Detects connections that a firewall dropped silently.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # Exporters send pings while they wait for responses. A client that sends them more often is disconnected.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.connection_idle)),
        ("grpc.max_connection_age_ms", _milliseconds(settings.connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.connection_age_grace)),
        # Otherwise a second gateway could listen on the same port and receive part of the connections.
        ("grpc.so_reuseport", 0),
    )


def _milliseconds(time_span: timedelta) -> int:
    return max(1, round(time_span.total_seconds() * 1000))
