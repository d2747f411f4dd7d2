"""One pass: lease, redact, chunk, send, mark, until the queue holds nothing that is due."""

import threading
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from export.chunks import ChunkMaker
from export.delivery import Courier
from export.errors import FailureKind, GatewayError
from export.gateway_client import Gateway
from export.lease_in_hand import LeaseInHand
from export.leasing import LeasesAhead
from export.metrics import ExportMetrics
from export.parts import Parts
from export.pass_settings import PassSettings
from telemetry import ExportPolicy, Redactor
from telemetry.event import IdFactory, new_event_id
from telemetry.logger import get_logger
from telemetry.tracing import span
from telemetry_store.errors import RecorderError
from telemetry_store.export_queue import ExportQueue, Lease, LeasedEvent
from telemetry_store.export_runs import ExportRuns
from telemetry_store.pass_report import PassOutcome, PassReport

# Streams of one lease that may break before one event is acknowledged: enough to descend by halves
# from the largest lease, several times over. A gateway that takes some events is searched to the end.
_MAX_FRUITLESS_STREAMS: Final = 64
_log = get_logger(__name__)


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
        self._courier = Courier(gateway)

    def run_pass(self) -> PassReport:
        """Exports until nothing is due, the gateway stays away, or `stop` is called.

        Never raises for what the gateway or the database does; the report says it.
        """
        with self._one_pass, span("telemetry export pass") as current:
            started_at, started = self._clock(), time.perf_counter()
            report = PassReport(request_id=self._id_factory(), started_at=started_at, last_at=started_at)
            # SECURITY: consent and export mode are asked before anything is read.
            if self._policy_now(report) is not None and (redactor := self._redactor_now(report)) is not None:
                try:
                    self._drain(redactor, report)
                    report.remaining = self._queue.counts().pending
                except RecorderError as error:
                    report.outcome, report.problem = PassOutcome.DATABASE, str(error)
            report.duration = time.perf_counter() - started
            self._tell(report)
            self._note(report)
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
            report.outcome, report.problem = PassOutcome.SETTINGS, str(error)
            return None
        if obstacle := policy.obstacle:
            report.outcome, report.problem = PassOutcome.OFF, obstacle
            return None
        return policy

    def _redactor_now(self, report: PassReport) -> Redactor | None:
        try:
            # SECURITY: the allowlist of this moment. One that cannot be read lets nothing leave.
            return self._load_redactor()
        except ValueError as error:
            report.outcome, report.problem = PassOutcome.ALLOWLIST, str(error)
            return None

    def _chunk_maker(self, redactor: Redactor, policy: ExportPolicy) -> ChunkMaker:
        return ChunkMaker(
            self._queue.payloads, redactor=redactor, policy=policy, chunk_bytes=self._settings.chunk_bytes
        )

    def _in_hand(self, lease: Lease, report: PassReport) -> LeaseInHand:
        return LeaseInHand(
            lease,
            self._queue,
            report,
            settings=self._settings,
            metrics=self._metrics,
            random=self._random,
            out_of_time=self._out_of_time,
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
                hand = self._in_hand(leases.take(), report)
                if not hand.events:
                    return
                failure = self._send_lease(hand, self._chunk_maker(redactor, policy))
                outages = 0 if hand.acked else outages
                if failure is None:
                    continue
                report.problem = str(failure)
                if failure.token_refused and not reauthenticated:
                    reauthenticated = True  # the cached token was forgotten; once, a new one is tried at once
                    continue
                if failure.kind is FailureKind.REFUSED:
                    report.outcome = PassOutcome.REFUSED
                    return
                outages += 1
                if outages >= settings.outages_per_pass:
                    report.outcome = PassOutcome.OUTAGE
                    return
                _log.info("gateway away, backing off", request_id=report.request_id, code=failure.code, outages=outages)
                self._stopping.wait(self._backoff(outages))
            report.outcome = PassOutcome.STOPPED

    def _send_lease(self, hand: LeaseInHand, chunks: ChunkMaker) -> GatewayError | None:
        """Send a lease's events; return why not, where that was no event's fault."""
        try:
            return self._send_parts(hand, chunks)
        finally:
            hand.give_back()

    def _send_parts(self, hand: LeaseInHand, chunks: ChunkMaker) -> GatewayError | None:
        """Send events together, those that failed often alone, and split what the gateway chokes on.

        A stream that breaks for an unclear reason is sent again in halves, down to single events.
        One that fails alone is at fault only if the gateway took others meanwhile; else it is an outage.
        """
        parts = Parts(hand.events, alone_from=self._settings.attempts_before_alone, random=self._random)
        suspects: dict[str, tuple[LeasedEvent, GatewayError]] = {}
        failure: GatewayError | None = None
        fruitless = 0
        # What is not sent when the lease ends may be another exporter's by then.
        while parts and not self._stopping.is_set() and not hand.has_ended():
            part = parts.take()
            failure = self._send(hand, part, chunks)
            if failure is None:
                continue
            if failure.kind in (FailureKind.OUTAGE, FailureKind.REFUSED):
                return failure
            unanswered = hand.still_open(part)
            if len(unanswered) > 1:
                parts.split(unanswered)
            elif unanswered and failure.kind is FailureKind.TOO_LARGE:
                hand.count_attempts(unanswered, f"too_large: {failure}")
            elif unanswered:
                suspects[unanswered[0].id] = (unanswered[0], failure)
                parts.move_on()
            fruitless += 1
            if not hand.acked and fruitless == _MAX_FRUITLESS_STREAMS:
                return failure
        if hand.acked:
            for event, cause in suspects.values():
                hand.count_attempts([event], f"gateway_error: {cause}")
            return None
        return next((cause for _, cause in suspects.values()), failure if parts else None)

    def _send(self, hand: LeaseInHand, part: Sequence[LeasedEvent], chunks: ChunkMaker) -> GatewayError | None:
        delivery = self._courier.send(hand.next_request_id(), [event.id for event in part], chunks, mark=hand.mark)
        hand.take_up(delivery, part)
        if delivery.unreadable is not None:
            raise delivery.unreadable
        return delivery.failure

    def _backoff(self, outages: int) -> float:
        first, longest = self._settings.backoff
        return self._random.uniform(0, min(longest, first * 2 ** (outages - 1)).total_seconds())

    def _note(self, report: PassReport) -> None:
        """Keeps what the pass did for operators; that it could not be kept is no reason to fail."""
        if self._runs is None or (report.outcome is PassOutcome.DATABASE and self._stopping.is_set()):
            return  # who was told to stop does not wait for a database that is away once more
        try:
            report.last_at = self._clock()
            self._runs.add(report)
        except RecorderError as error:
            _log.warning("export pass not noted", request_id=report.request_id, error=str(error))

    def _tell(self, report: PassReport) -> None:
        self._metrics.passes.labels(report.outcome).inc()
        self._metrics.duration.observe(report.duration)
        if report.outcome is PassOutcome.DRAINED:
            self._metrics.last_success.set(self._clock().timestamp())
        facts = {**report.facts(), "duration": round(report.duration, 3)}
        if report.is_well:
            _log.info("export pass", **facts)
        else:
            _log.warning("export pass", **facts)
