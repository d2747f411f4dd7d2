"""Export, cleanup and metrics on a scheduler: in a separate process, once, or inside a service."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from export.cleanup import Cleanup
from export.errors import ExportError
from export.exporter import Exporter
from export.gateway_client import Gateway, GatewayClient
from export.metrics import ExportMetrics
from export.pass_settings import PassSettings
from export.settings import ExporterSettings
from telemetry import ExportPolicy
from telemetry.event import Clock, now_utc
from telemetry.logger import get_logger
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.errors import RecorderError
from telemetry_store.export_queue import ExportQueue
from telemetry_store.export_runs import ExportRuns

_JITTER_SHARE = 10
_log = get_logger(__name__)
# Its warnings, for example that a pass took longer than its interval, belong in the log of the host. Without a handler,
# they would be printed.
logging.getLogger("apscheduler").addHandler(logging.NullHandler())


class ExportJobs:
    """All jobs of the export side, assembled from its settings.

    Any number may be made in a process, for example by a lifespan under several test clients.

    Args:
        settings: The exporter's settings.
        gateway: The gateway to send events to; made from the settings by default.
        load_policy: Decides before each lease whether anything may be exported: see `Exporter`; by default the policy
            of the settings, which never changes.
        metrics: The Prometheus metrics; registered in the default registry by default.
        clock: Returns the current time.

    Raises:
        ValueError: No gateway is given and the settings have no address.
        UnsupportedDatabaseError: The database URL is not supported.
    """

    def __init__(
        self,
        settings: ExporterSettings,
        *,
        gateway: Gateway | None = None,
        load_policy: Callable[[], ExportPolicy] | None = None,
        metrics: ExportMetrics | None = None,
        clock: Clock = now_utc,
    ) -> None:
        self._settings = settings = ExporterSettings.checked(settings)
        self._clock = clock
        self._gateway = GatewayClient.from_settings(settings) if gateway is None else gateway
        self.database = Database(create_database_engine(settings.database_url, timeout=settings.database_timeout))
        self.queue = ExportQueue(self.database, clock=clock)
        self.metrics = ExportMetrics() if metrics is None else metrics
        self.exporter = Exporter(
            self.queue,
            self._gateway,
            load_redactor=settings.redactor,
            load_policy=settings.export_policy if load_policy is None else load_policy,
            settings=PassSettings(
                batch_size=settings.export_batch_size,
                lease=settings.lease,
                chunk_bytes=settings.chunk_bytes,
                shutdown_timeout=settings.shutdown_timeout,
            ),
            metrics=self.metrics,
            runs=ExportRuns(self.database),
        )
        self.cleanup = Cleanup(
            self.database,
            self.queue,
            exported_retention=settings.exported_events_retention,
            event_logs_retention=settings.event_logs_retention,
            metrics=self.metrics,
            clock=clock,
        )
        self._scheduler: Any = None

    def start(self) -> Self:
        """Start the three jobs in threads of this process, each immediately and then at its interval.

        Call it in the process that exports, after any fork.

        Raises:
            ExportError: The jobs are already running.
        """
        if self._scheduler is not None:
            raise ExportError("the export jobs are already running; stop them first")
        scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(3)}, timezone="UTC")
        for job, interval in (
            (self.exporter.run_pass, self._settings.export_interval),
            (self._run_cleanup, self._settings.queue_cleanup_interval),
            (self.observe_queue, self._settings.metrics_interval),
        ):
            self._schedule(scheduler, job, interval)
        scheduler.start()
        self._scheduler = scheduler
        _log.info("export jobs started", interval_seconds=self._settings.export_interval.total_seconds())
        return self

    def stop(self) -> None:
        """Stop the jobs: take no new lease, wait for sent events for a limited time, release the leases."""
        self.exporter.stop()
        self.cleanup.stop()
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=True)
            self._scheduler = None
        self.close()
        _log.info("export jobs stopped")

    def close(self) -> None:
        """Close the channel and the database connections."""
        self._gateway.close()
        self.database.close()

    def observe_queue(self) -> None:
        """Measure the queue for Prometheus."""
        try:
            self.metrics.observe_queue(self.queue.counts(), self._clock())
        except RecorderError as error:
            _log.warning("queue not measured", error=str(error))

    def _run_cleanup(self) -> None:
        try:
            self.cleanup.run()
        except RecorderError as error:
            _log.warning("cleanup failed", error=str(error))

    def _schedule(self, scheduler: Any, job: Callable[[], object], interval: timedelta) -> None:
        seconds = interval.total_seconds()
        scheduler.add_job(
            job,
            IntervalTrigger(seconds=seconds, jitter=seconds / _JITTER_SHARE),  # pyright: ignore[reportArgumentType]
            next_run_time=self._clock(),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
