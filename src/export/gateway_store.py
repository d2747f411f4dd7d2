"""A store that records directly at a gateway, for managed services without a database."""

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
    """The outcome of the events of one call."""

    recorded: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)
    problem: str = "the gateway did not acknowledge them"


class GatewayStore:
    """A store for a `Recorder` without a database: it sends events to a gateway, in one call or a stream.

    When `record` returns, the gateway holds the event durably. One event is sent in a single call, several are sent in
    a stream. If the gateway is unreachable or busy, sending is retried until the deadline. Nothing is kept here: for
    events not recorded by then, `NotRecordedError` is raised.

        recorder = Recorder(GatewayStore.from_settings(ExporterSettings.load()), service_version="1.4.0")

    Events that may not be exported (export mode, consent, the switch for a user) are not sent. As there is no
    `event_logs` here, they are not recorded at all.

    Args:
        gateway: The gateway to send events to.
        policy: Decides which events may be exported.
        redactor: Removes the parts of events that must not be exported.
        deadline: The longest time that a call of the recorder takes.
        chunk_bytes: The largest request.
        monotonic: Returns seconds.
        sleep: Waits for a number of seconds, between two attempts.
        id_factory: Makes request ids.
        random: Randomizes the pauses.

    Attributes:
        policy: The policy.
        redactor: The redactor.
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
        """Make a store from the exporter's settings. It connects with the first event.

        Args:
            settings: Address, service id, credentials, TLS, export mode, allowlist.
            deadline: The longest time that a call of the recorder takes.

        Raises:
            InvalidSettingsError: The address of the gateway or the service id is not set.
        """
        ExporterSettings.checked(settings)
        needed = {"export_addr": settings.export_addr, "service_id": settings.service_id}
        if missing := [name for name, value in needed.items() if value is None]:
            problem = "is not set; a managed service needs it to record directly at a gateway"
            raise InvalidSettingsError([(settings.variable_of(name), problem) for name in missing])
        return cls(
            GatewayClient.from_settings(settings),
            policy=settings.export_policy(),
            redactor=settings.redactor(),
            deadline=deadline,
            chunk_bytes=settings.chunk_bytes,
        )

    def store_events(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Record events at the gateway; return when it holds all of them durably.

        Args:
            events: Complete events, including private metadata.
            connection: Must be None: a gateway cannot join a transaction.

        Raises:
            NotRecordedError: Some were not recorded; names how many were, and which the gateway rejects permanently.
            RedactionError: An event could not be redacted; nothing was sent.
            InvalidConnectionError: A connection was given.
        """
        if connection is not None:
            raise InvalidConnectionError("connection", "cannot be used by a recorder at a gateway; omit it")
        # SECURITY: export mode, consent and the user's switch are checked before anything is sent.
        redacted = [self._redacted(each.event) for each in events if self.policy.allows(each.event)]
        if not redacted:
            return
        result = _CallResult()
        send = self._send_one if len(redacted) == 1 else self._send_stream
        self._send_with_retries(lambda remaining: send(redacted, result, remaining), result)
        wanted = len({event.id for event in redacted})
        if len(result.recorded) < wanted:
            problem = next(iter(result.rejected.values()), result.problem)
            raise NotRecordedError(wanted, len(result.recorded), result.rejected, problem)

    def check(self) -> None:
        """Check that the gateway accepts a stream, by one without events. Do nothing if nothing may be exported.

        Raises:
            GatewayError: The gateway does not accept it.
        """
        if self.policy.obstacle is not None:
            return
        for _ in self._gateway.open_stream(self._id_factory(), [], deadline=timedelta(seconds=self._deadline)):
            pass

    def close(self) -> None:
        """Close the channel."""
        self._gateway.close()

    def _redacted(self, event: pb.Event) -> pb.Event:
        redacted = pb.Event()
        redacted.CopyFrom(event)
        # SECURITY: the copy that is sent is redacted, and the redaction is checked.
        self.redactor.redact(redacted)
        return redacted

    def _send_with_retries(self, send: Callable[[timedelta], GatewayError | None], result: _CallResult) -> None:
        """Send until all events are answered, the gateway refuses, or the deadline is over."""
        end = self._monotonic() + self._deadline
        pause = _FIRST_PAUSE_SECONDS
        reauthenticated = False
        while (remaining := end - self._monotonic()) > 0:
            failure = send(timedelta(seconds=remaining))
            if failure is None:
                return
            result.problem = str(failure)
            if failure.token_refused and not reauthenticated:
                reauthenticated = True  # the cached token was discarded; retry immediately with a new one
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
