"""One pass: lease, redact, chunk, send, mark, until the queue holds nothing that is due."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

import structlog

from export.chunks import ChunkMaker
from export.delivery import Courier, Delivery
from export.errors import FailureKind, GatewayError
from export.gateway_client import Gateway
from export.leasing import LeasesAhead
from export.metrics import ExportMetrics
from export.parts import Parts
from export.pass_report import Outcome, PassReport
from telemetry import ExportPolicy, Redactor
from telemetry.event import IdFactory, new_event_id
from telemetry.tracing import span
from telemetry_store.errors import RecorderError
from telemetry_store.export_queue import ExportQueue, Lease, LeasedEvent
from telemetry_store.export_runs import ExportRuns

# Streams of one lease that may break before one event is acknowledged: enough to descend by halves
# from the largest lease, several times over. A gateway that takes some events is searched to the end.
_MAX_FRUITLESS_STREAMS: Final = 64
_log = structlog.get_logger("export")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """How a pass goes about it.

    Attributes:
        batch_size: Events leased at a time.
        lease: How long they are held; longer than a stream's deadline.
        chunk_bytes: The largest request.
        shutdown_timeout: How long `stop` lets a stream go on.
        attempts_before_alone: An event not acknowledged so often is sent in a stream of its own.
        attempts_before_dead: An event not acknowledged so often becomes a dead letter.
        retry_after: Before the second attempt; doubled for each further one, at most an hour.
        held_for: How long an event outside the export mode rests before it is looked at again.
        outages_per_pass: After so many in a row the pass gives up until the next one.
        backoff: The first and the longest wait between two of them; the wait is random below it.
    """

    batch_size: int = 10_000
    lease: timedelta = timedelta(minutes=5)
    chunk_bytes: int = 1024 * 1024
    shutdown_timeout: timedelta = timedelta(seconds=10)
    attempts_before_alone: int = 3
    attempts_before_dead: int = 5
    retry_after: timedelta = timedelta(seconds=30)
    held_for: timedelta = timedelta(hours=1)
    outages_per_pass: int = 5
    backoff: tuple[timedelta, timedelta] = (timedelta(seconds=1), timedelta(seconds=60))


class Exporter:
    """Exports what is due. Any number may share one queue, in one process or many.

    Args:
        queue: Where events come from.
        gateway: Where they go.
        load_redactor: Called at the start of each pass; its redactor is applied to each event
            immediately before it is sent. A `ValueError` from it ends the pass with nothing sent.
        load_policy: Called at the start of each pass and before each lease; its policy says whether anything, and
            which features, may leave now. A `ValueError` from it ends the pass with nothing more sent.
        settings: How to go about it.
        metrics: What Prometheus is told.
        runs: Where each pass is noted for operators; None: nowhere.
        id_factory: Makes request ids.
        random: Spreads the waits.
    """

    def __init__(
        self,
        queue: ExportQueue,
        gateway: Gateway,
        *,
        load_redactor: Callable[[], Redactor],
        load_policy: Callable[[], ExportPolicy],
        settings: PassSettings,
        metrics: ExportMetrics,
        runs: ExportRuns | None = None,
        id_factory: IdFactory = new_event_id,
        random: Random | None = None,
    ) -> None:
        self._queue = queue
        self._load_redactor = load_redactor
        self._load_policy = load_policy
        self._settings = settings
        self._metrics = metrics
        self._runs = runs
        self._clock = queue.clock  # leases run by it
        self._id_factory = id_factory
        self._random = Random() if random is None else random  # noqa: S311 - jitter, not secrecy
        self._stopping = threading.Event()
        self._out_of_time = threading.Event()
        self._one_pass = threading.Lock()
        self._lease_ends = queue.clock()
        self._courier = Courier(gateway, self._mark)

    def run_pass(self) -> PassReport:
        """Exports until nothing is due, the gateway stays away, or `stop` is called.

        Never raises for what the gateway or the database does; the report says it.
        """
        with self._one_pass, span("telemetry export pass") as current:
            report = PassReport(self._id_factory())
            started_at, started = self._clock(), time.perf_counter()
            # SECURITY: consent and export mode are asked before anything is read.
            if self._policy_now(report) is not None and (redactor := self._redactor_now(report)) is not None:
                try:
                    self._drain(redactor, report)
                    report.left = self._queue.counts().pending
                except RecorderError as error:
                    report.outcome, report.problem = Outcome.DATABASE, str(error)
            report.duration = time.perf_counter() - started
            self._tell(report)
            self._note(report, started_at)
            report.tell(current)
            return report

    def stop(self) -> None:
        """Ends a running pass soon: no new lease, a bounded wait for what is on its way. Returns at once.

        May be called from another thread or a signal handler; the exporter cannot be used again.
        """
        self._stopping.set()
        self._courier.finish()
        timer = threading.Timer(self._settings.shutdown_timeout.total_seconds(), self._cut_off)
        timer.daemon = True
        timer.start()

    def _cut_off(self) -> None:
        self._out_of_time.set()
        self._courier.cancel()

    def _policy_now(self, report: PassReport) -> ExportPolicy | None:
        """Returns what may leave now; None, with the outcome told, where nothing may."""
        try:
            # SECURITY: consent of this moment. Where it cannot be read, nobody has said yes.
            policy = self._load_policy()
        except ValueError as error:
            report.outcome, report.problem = Outcome.SETTINGS, str(error)
            return None
        if obstacle := policy.obstacle:
            report.outcome, report.problem = Outcome.OFF, obstacle
            return None
        return policy

    def _redactor_now(self, report: PassReport) -> Redactor | None:
        try:
            # SECURITY: the allowlist of this moment. One that cannot be read lets nothing leave.
            return self._load_redactor()
        except ValueError as error:
            report.outcome, report.problem = Outcome.ALLOWLIST, str(error)
            return None

    def _chunk_maker(self, redactor: Redactor, policy: ExportPolicy) -> ChunkMaker:
        return ChunkMaker(
            self._queue.payloads, redactor=redactor, policy=policy, chunk_bytes=self._settings.chunk_bytes
        )

    def _drain(self, redactor: Redactor, report: PassReport) -> None:
        settings = self._settings
        with LeasesAhead(self._queue, settings.batch_size, settings.lease, stopping=self._stopping.is_set) as leases:
            outages = 0
            reauthenticated = False
            while not self._stopping.is_set():
                # SECURITY: asked again, because a backlog is sent for hours and somebody may say no meanwhile.
                if (policy := self._policy_now(report)) is None:
                    return
                lease = leases.take()
                if not lease.events:
                    return
                report.leased += len(lease.events)
                self._metrics.batch_size.observe(len(lease.events))
                acked_before = report.acked
                failure = self._export(lease, self._chunk_maker(redactor, policy), report)
                outages = 0 if report.acked > acked_before else outages
                if failure is None:
                    continue
                report.problem = str(failure)
                if failure.token_refused and not reauthenticated:
                    reauthenticated = True  # the cached token was forgotten; once, a new one is tried at once
                    continue
                if failure.kind is FailureKind.REFUSED:
                    report.outcome = Outcome.REFUSED
                    return
                outages += 1
                if outages >= settings.outages_per_pass:
                    report.outcome = Outcome.OUTAGE
                    return
                _log.info("gateway away, backing off", request_id=report.request_id, code=failure.code, outages=outages)
                self._stopping.wait(self._backoff(outages))
            report.outcome = Outcome.STOPPED

    def _export(self, lease: Lease, chunks: ChunkMaker, report: PassReport) -> GatewayError | None:
        """Sends a lease's events; returns why not, where that was no event's fault."""
        self._lease_ends = lease.expires_at
        open_ids = {event.id for event in lease.events}
        try:
            return self._deliver(lease, chunks, open_ids, report)
        finally:
            if open_ids:
                self._queue.release(lease, list(open_ids))

    def _deliver(self, lease: Lease, chunks: ChunkMaker, open_ids: set[str], report: PassReport) -> GatewayError | None:
        """Sends events together, those that failed often alone, and splits what the gateway chokes on.

        A stream that breaks for an unclear reason is sent again in halves, down to single events.
        One that fails alone is at fault only if the gateway took others meanwhile; else it is an outage.
        """
        parts = Parts(lease.events, alone_from=self._settings.attempts_before_alone, random=self._random)
        suspects: dict[str, tuple[LeasedEvent, GatewayError]] = {}
        acked_before = report.acked
        failure: GatewayError | None = None
        fruitless = 0
        # What is not sent when the lease ends may be another exporter's by then.
        while parts and not self._stopping.is_set() and self._clock() < lease.expires_at:
            part = parts.take()
            failure = self._send(lease, chunks, part, open_ids, report).failure
            if failure is None:
                continue
            if failure.kind in (FailureKind.OUTAGE, FailureKind.REFUSED):
                return failure
            unanswered = [event for event in part if event.id in open_ids]
            if len(unanswered) > 1:
                parts.split(unanswered)
            elif unanswered and failure.kind is FailureKind.TOO_LARGE:
                self._count_attempts(lease, unanswered, open_ids, report, f"too_large: {failure}")
            elif unanswered:
                suspects[unanswered[0].id] = (unanswered[0], failure)
                parts.move_on()
            fruitless += 1
            if report.acked == acked_before and fruitless == _MAX_FRUITLESS_STREAMS:
                return failure
        if report.acked > acked_before:
            for event, cause in suspects.values():
                self._count_attempts(lease, [event], open_ids, report, f"gateway_error: {cause}")
            return None
        return next((cause for _, cause in suspects.values()), failure if parts else None)

    def _send(
        self, lease: Lease, chunks: ChunkMaker, part: Sequence[LeasedEvent], open_ids: set[str], report: PassReport
    ) -> Delivery:
        report.streams += 1
        delivery = self._courier.send(f"{report.request_id}-{report.streams}", [event.id for event in part], chunks)
        outgoing = delivery.outgoing
        report.sent += len(outgoing.sent)
        report.bytes += outgoing.bytes
        report.acked += len(delivery.exported)
        report.rejected += len(delivery.rejected)
        report.held += len(outgoing.held)
        self._metrics.bytes.inc(outgoing.bytes)
        self._metrics.exported.inc(len(delivery.exported))
        self._metrics.rejected.inc(len(delivery.rejected))
        open_ids -= delivery.exported
        # These come back when the lease ends; until then another try would only send them twice.
        open_ids -= delivery.unmarked
        if delivery.unexpected:
            _log.warning("gateway answered unknown or repeated ids", count=delivery.unexpected)
        self._postpone(lease, outgoing.held, open_ids)
        rejections = {event_id: f"rejected: {reason}" for event_id, reason in delivery.rejected.items()}
        self._set_aside(lease, {**outgoing.unfit, **rejections}, open_ids, report)
        if delivery.failure is None:
            unacknowledged = [event for event in part if event.id in open_ids and event.id in outgoing.sent]
            self._count_attempts(
                lease, unacknowledged, open_ids, report, "not_acknowledged: the gateway did not say why"
            )
        if delivery.unreadable is not None:
            raise delivery.unreadable
        return delivery

    def _count_attempts(
        self, lease: Lease, events: Sequence[LeasedEvent], open_ids: set[str], report: PassReport, reason: str
    ) -> None:
        by_attempts: dict[int, list[str]] = defaultdict(list)
        for event in events:
            by_attempts[event.attempts + 1].append(event.id)
        for attempts, ids in by_attempts.items():
            if attempts >= self._settings.attempts_before_dead:
                self._set_aside(lease, dict.fromkeys(ids, reason), open_ids, report)
            else:
                self._queue.fail(lease, ids, self._retry_at(attempts))
                open_ids -= set(ids)

    def _set_aside(self, lease: Lease, reasons: dict[str, str], open_ids: set[str], report: PassReport) -> None:
        if not reasons:
            return
        dead = self._queue.set_aside(lease, reasons)
        open_ids -= set(reasons)
        report.dead += dead
        self._metrics.dead.inc(dead)

    def _postpone(self, lease: Lease, ids: Sequence[str], open_ids: set[str]) -> None:
        if ids:
            self._queue.postpone(lease, ids, self._clock() + self._settings.held_for)
            open_ids -= set(ids)

    def _mark(self, ids: Sequence[str]) -> bool:
        """Marks what was acknowledged; retries until the lease ends, when it would be sent again anyway."""
        pause = 0.05
        while True:
            try:
                self._queue.mark_exported(ids)
            except RecorderError as error:
                if self._clock() >= self._lease_ends or self._out_of_time.wait(pause):
                    _log.error(
                        "acknowledged events not marked, they will be sent again", count=len(ids), error=str(error)
                    )
                    return False
                pause = min(2.0, pause * 2)
            else:
                return True

    def _backoff(self, outages: int) -> float:
        first, longest = self._settings.backoff
        return self._random.uniform(0, min(longest, first * 2 ** (outages - 1)).total_seconds())

    def _retry_at(self, attempts: int) -> datetime:
        longest = min(self._settings.retry_after * 2 ** (attempts - 1), timedelta(hours=1)).total_seconds()
        return self._clock() + timedelta(seconds=self._random.uniform(longest / 2, longest))

    def _note(self, report: PassReport, started_at: datetime) -> None:
        """Keeps what the pass did for operators; that it could not be kept is no reason to fail."""
        if self._runs is None or (report.outcome is Outcome.DATABASE and self._stopping.is_set()):
            return  # who was told to stop does not wait for a database that is away once more
        try:
            self._runs.add(report.as_run(started_at, self._clock()))
        except RecorderError as error:
            _log.warning("export pass not noted", request_id=report.request_id, error=str(error))

    def _tell(self, report: PassReport) -> None:
        self._metrics.passes.labels(report.outcome.value).inc()
        self._metrics.duration.observe(report.duration)
        if report.outcome is Outcome.DRAINED:
            self._metrics.last_success.set(self._clock().timestamp())
        facts = {**asdict(report), "outcome": report.outcome.value, "duration": round(report.duration, 3)}
        if report.outcome.is_well:
            _log.info("export pass", **facts)
        else:
            _log.warning("export pass", **facts)
