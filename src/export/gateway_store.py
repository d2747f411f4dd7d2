"""Records straight at a gateway: for managed services that have no database of their own."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Final, Self

from export.chunks import ChunkMaker
from export.delivery import Courier
from export.errors import FailureKind, GatewayError, NotRecordedError
from export.gateway_client import GatewayClient
from export.settings import ExporterSettings
from telemetry import ExportPolicy, RedactionError, Redactor
from telemetry.event import IdFactory, new_event_id
from telemetry.logger import get_logger
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_runtime.settings import InvalidSettingsError
from telemetry_store.errors import InvalidConnectionError
from telemetry_store.ports import BuiltEvent, CallersConnection

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_CHUNK_BYTES: Final = 1024 * 1024
_log = get_logger(__name__)


@dataclass(slots=True)
class _CallResult:
    """What became of the events of one call."""

    recorded: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    problem: str = "the gateway did not acknowledge them"


class GatewayStore:
    """Where a `Recorder` puts events when there is no database: a gateway, by one call or a stream.

    When `record` returns, the gateway holds the event durably. One event goes as a single call, several go as a
    stream. A gateway that is away or busy is tried again until the deadline. Nothing is kept here: what did not
    get there by then is the caller's, who is told.

        recorder = Recorder(GatewayStore.from_settings(ExporterSettings.load()), service_version="1.4.0")

    Events that may not leave (export mode, consent, the switch for a user) are not sent, and as there is no
    `event_logs` here, they are recorded nowhere.

    Args:
        gateway: Where events go.
        policy: Decides which events may leave.
        redactor: Removes from them what must not leave.
        deadline: The longest that a call of the recorder takes.
        chunk_bytes: The largest request.
        monotonic: Tells seconds.
        sleep: Waits seconds, between two tries.
        id_factory: Makes request ids.
        random: Spreads the waits.

    Attributes:
        policy: As given.
        redactor: As given.
    """

    def __init__(
        self,
        gateway: GatewayClient,
        *,
        policy: ExportPolicy,
        redactor: Redactor,
        deadline: timedelta = timedelta(seconds=10),
        chunk_bytes: int = _CHUNK_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        id_factory: IdFactory = new_event_id,
        random: Random | None = None,
    ) -> None:
        self._gateway = gateway
        self.policy = policy
        self.redactor = redactor
        self._deadline = deadline.total_seconds()
        self._chunk_bytes = chunk_bytes
        self._monotonic = monotonic
        self._sleep = sleep
        self._id_factory = id_factory
        self._random = Random() if random is None else random  # noqa: S311 - jitter, not secrecy
        if obstacle := policy.obstacle:
            _log.warning("nothing is recorded at the gateway", reason=obstacle)

    @classmethod
    def from_settings(cls, settings: ExporterSettings, *, deadline: timedelta = timedelta(seconds=10)) -> Self:
        """Makes a store as the exporter's settings have it; connects with the first event.

        Args:
            settings: Address, service id, credentials, TLS, export mode, allowlist.
            deadline: The longest that a call of the recorder takes.

        Raises:
            InvalidSettingsError: The settings name no gateway, or no managed service.
        """
        ExporterSettings.checked(settings)
        needed = {"export_addr": settings.export_addr, "service_id": settings.service_id}
        if missing := [name for name, value in needed.items() if value is None]:
            problem = "is not set; only a managed service records straight at a gateway"
            raise InvalidSettingsError([(settings.variable_of(name), problem) for name in missing])
        return cls(
            GatewayClient.from_settings(settings),
            policy=settings.export_policy(),
            redactor=settings.redactor(),
            deadline=deadline,
            chunk_bytes=settings.chunk_bytes,
        )

    def store_events(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Records events at the gateway; returns when it holds all of them durably.

        Args:
            events: Whole events, private metadata included.
            connection: Must be left out: a gateway cannot join a transaction.

        Raises:
            NotRecordedError: Some did not get there; says how many did, and what the gateway will never take.
            RedactionError: An event could not be redacted; nothing was sent.
            InvalidConnectionError: A connection was given.
        """
        if connection is not None:
            raise InvalidConnectionError("connection", "cannot be joined by a recorder at a gateway; leave it out")
        # SECURITY: export mode, consent and the user's switch decide before anything is sent.
        leaving = [self._redacted(each.event) for each in events if self.policy.allows(each.event)]
        if not leaving:
            return
        result = _CallResult()
        send = self._send_one if len(leaving) == 1 else self._send_stream
        self._try(lambda remaining: send(leaving, result, remaining), result)
        wanted = len({event.id for event in leaving})
        if len(result.recorded) < wanted:
            problem = next(iter(result.rejected.values()), result.problem)
            raise NotRecordedError(wanted, len(result.recorded), result.rejected, problem)

    def check(self) -> None:
        """Checks that the gateway takes a stream of ours, by one on which nothing is sent. Not where nothing may leave.

        Raises:
            GatewayError: It does not.
        """
        if self.policy.obstacle is not None:
            return
        for _ in self._gateway.open_stream(self._id_factory(), [], deadline=timedelta(seconds=self._deadline)):
            pass

    def close(self) -> None:
        """Closes the channel."""
        self._gateway.close()

    def _redacted(self, event: pb.Event) -> pb.Event:
        leaving = pb.Event()
        leaving.CopyFrom(event)
        # SECURITY: what must not leave is removed from the copy that is sent, and that is checked.
        self.redactor.redact(leaving)
        return leaving

    def _try(self, send: Callable[[timedelta], GatewayError | None], result: _CallResult) -> None:
        """Sends until all is answered, the gateway refuses, or the deadline is over."""
        end = self._monotonic() + self._deadline
        pause = _FIRST_PAUSE_SECONDS
        reauthenticated = False
        while (remaining := end - self._monotonic()) > 0:
            failure = send(timedelta(seconds=remaining))
            if failure is None:
                return
            result.problem = str(failure)
            if failure.token_refused and not reauthenticated:
                reauthenticated = True  # the cached token was forgotten; a new one is tried at once
                continue
            if failure.kind is not FailureKind.OUTAGE:
                return
            self._sleep(min(self._random.uniform(0, pause), max(0.0, end - self._monotonic())))
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)

    def _send_one(self, events: Sequence[pb.Event], result: _CallResult, remaining: timedelta) -> GatewayError | None:
        (event,) = events
        try:
            self._gateway.record_event(self._id_factory(), event, deadline=remaining)
        except GatewayError as error:
            if error.code == "INVALID_ARGUMENT":
                result.rejected[event.id] = str(error)
            return error
        result.recorded.add(event.id)
        return None

    def _send_stream(
        self, events: Sequence[pb.Event], result: _CallResult, remaining: timedelta
    ) -> GatewayError | None:
        waiting = {
            event.id: event.SerializeToString()
            for event in events
            if event.id not in result.recorded and event.id not in result.rejected
        }
        chunks = ChunkMaker(
            lambda ids: {event_id: waiting[event_id] for event_id in ids},
            redactor=self.redactor,
            policy=self.policy,
            chunk_bytes=self._chunk_bytes,
        )
        courier = Courier(self._gateway)
        delivery = courier.send(self._id_factory(), list(waiting), chunks, mark=lambda _ids: True, deadline=remaining)
        result.recorded |= delivery.exported
        result.rejected |= delivery.rejected
        for problem in delivery.outgoing.unfit.values():
            raise RedactionError(problem)
        return delivery.failure
