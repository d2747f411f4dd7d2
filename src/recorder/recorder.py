"""The strict recorder: an event is stored, in both tables, or the caller is told."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, LiteralString, Self

from sqlalchemy import Engine

from recorder.diversion import current_diversion
from recorder.event_logs_block import event_logs_skipped
from recorder.tee import TeeStore
from recorder.tracebacks import forget_locals
from telemetry import Catalog, EventBuilder, EventParameters, ExportPolicy, NewEvent, Redactor, TelemetryMode
from telemetry.event import DEFAULT_MAX_EVENT_BYTES, Clock, IdFactory, new_event_id, now_utc
from telemetry.logger import get_logger
from telemetry.tracing import Fact, Span, span
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.ports import BuiltEvent, CallersConnection, EventStore

if TYPE_CHECKING:
    from recorder.settings import RecorderSettings
    from telemetry.policy import ExportSwitch

_log = get_logger(__name__)


class Recorder:
    """Records events, strictly: what breaks a rule raises, what returns is durable.

    Make one per process and share it; threads may. After a fork the child makes connections of
    its own.

    Args:
        store: Where events go.
        service_version: The recording service's own version.
        clock: Tells the time of events that bring none.
        id_factory: Makes the ids of events that bring none.
        max_event_bytes: The largest serialized event.
        telemetry_mode: With `OFF`, calls check and store nothing, and say so once in the log.
        catalog: Knows every event there is; others are refused. None: any event may be recorded.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        service_version: str,
        clock: Clock = now_utc,
        id_factory: IdFactory = new_event_id,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        telemetry_mode: TelemetryMode = TelemetryMode.ON,
        catalog: Catalog | None = None,
    ) -> None:
        self._store = store
        self._builder = EventBuilder(
            service_version, clock=clock, id_factory=id_factory, max_event_bytes=max_event_bytes, catalog=catalog
        )
        self._off = telemetry_mode is TelemetryMode.OFF
        if self._off:
            _log.warning("telemetry is off: nothing is recorded", setting="TELEMETRY_MODE")

    @classmethod
    def from_url(
        cls,
        url: str | None = None,
        *,
        service_version: str,
        settings: "RecorderSettings | None" = None,
        export_switch: "ExportSwitch | None" = None,
    ) -> Self:
        """Makes a recorder on a database of its own connections.

        Args:
            url: A SQLAlchemy URL, such as `sqlite:///telemetry.db`; by default the settings'.
            service_version: The recording service's own version.
            settings: Made by `RecorderSettings.load`; by default read from the environment, once, here.
            export_switch: Asked for each event whether it may be exported.

        Raises:
            InvalidSettingsError: The environment holds a setting that breaks a rule, or `settings` are not settings.
            UnsupportedDatabaseError: The URL, or the engine, is none that the recorder can write to.
        """
        settings = _checked_settings(settings)
        try:
            engine = create_database_engine(url or settings.database_url, timeout=settings.record_timeout)
        except Exception as error:
            url = None  # SECURITY: it may hold a password, and a traceback may show it
            forget_locals(error)
            raise
        return cls.from_engine(engine, service_version=service_version, settings=settings, export_switch=export_switch)

    @classmethod
    def from_engine(
        cls,
        engine: Engine,
        *,
        service_version: str,
        settings: "RecorderSettings | None" = None,
        export_switch: "ExportSwitch | None" = None,
    ) -> Self:
        """Makes a recorder on the host's own engine, whose settings are left alone.

        Args and errors are those of `from_url`.
        """
        settings = _checked_settings(settings)
        return cls.on_database(
            Database(engine),
            service_version=service_version,
            policy=settings.export_policy(export_switch),
            redactor=settings.redactor(),
            max_event_bytes=settings.max_event_bytes,
            catalog=settings.catalog(),
        )

    @classmethod
    def on_database(
        cls,
        database: Database,
        *,
        service_version: str,
        policy: ExportPolicy,
        redactor: Redactor,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        catalog: Catalog | None = None,
    ) -> Self:
        """Makes a recorder from its parts, reading no settings."""
        return cls(
            TeeStore(database, policy=policy, redactor=redactor),
            service_version=service_version,
            max_event_bytes=max_event_bytes,
            telemetry_mode=policy.telemetry_mode,
            catalog=catalog,
        )

    def record(
        self,
        feature: LiteralString,
        action: LiteralString,
        parameters: EventParameters | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the wire contract's word
        timestamp: datetime | None = None,
        connection: CallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> str:
        """Stores one event and returns its id.

        Args:
            feature: What the event is about; a constant in the caller's code.
            action: What happened to it; a constant in the caller's code.
            parameters: What else there is to say.
            id: A canonical UUID version 7 that the caller already has; made otherwise.
            timestamp: When it happened, with a time zone; now otherwise.
            connection: The caller's SQLAlchemy connection or session. The event joins its
                transaction: it exists if, and only if, the caller commits.
            without_event_logs: Skips the row in `event_logs`, for call sites that write it themselves.

        Raises:
            InvalidInputError: Something breaks a rule; the leaf class and the text say what.
            RecorderError: The database failed; nothing was stored.
            RedactionError: The event could not be redacted; nothing was stored.
        """
        event = NewEvent(feature, action, parameters, id, timestamp)
        return self.record_event(event, connection=connection, without_event_logs=without_event_logs)

    def record_event(
        self, event: NewEvent, *, connection: CallersConnection | None = None, without_event_logs: bool = False
    ) -> str:
        """Stores one event that was made beforehand, as by the helpers of a catalogue, and returns its id.

        Args and errors are those of `record`.
        """
        return self.batch_record([event], connection=connection, without_event_logs=without_event_logs)[0]

    def batch_record(
        self,
        events: Iterable[NewEvent],
        *,
        connection: CallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> list[str]:
        """Stores many events, all or none, and returns their ids in order.

        Args and errors are those of `record`.
        """
        built: Sequence[BuiltEvent] = ()
        try:
            built = self.build(events, without_event_logs=without_event_logs)
            self.store(built, connection=connection)
        except Exception as error:
            built, events = (), ()  # SECURITY: this call, too, is shown in a traceback
            forget_locals(error)
            raise
        return [each.event.id for each in built]

    def build(self, events: Iterable[NewEvent], *, without_event_logs: bool = False) -> list[BuiltEvent]:
        """Checks events and returns them whole, in the current context, storing nothing.

        `batch_record` is this, then `store`; the two are apart for variants that store elsewhere
        than they were called.

        Raises:
            InvalidInputError: An event breaks a rule.
        """
        if self._off:
            return [BuiltEvent(pb.Event(id=event.id or self._builder.new_id())) for event in events]
        in_event_logs = not (without_event_logs or event_logs_skipped())
        return [BuiltEvent(self._builder.build(event), in_event_logs) for event in events]

    def store(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Stores events that `build` made, all or none.

        Raises:
            RecorderError: The database failed; nothing was stored.
            RedactionError: An event could not be redacted; nothing was stored.
        """
        if not events or self._off:
            return
        with record_span(events):
            self.write(events, connection=connection)

    def write(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Does what `store` does, without a span: for variants that write for many callers at once."""
        if not events or self._off:
            return
        if (diversion := current_diversion()) is not None:
            diversion.take_events(events, store=self._store, connection=connection)
        else:
            self._store.store_events(events, connection=connection)

    def check(self) -> None:
        """Checks that events can be recorded now, for a readiness probe; records none.

        The tables exist, this code can use their version, and the database may be written. Asks the database each
        time, by a few cheap statements, and waits no longer than `record` does. With telemetry off, and while a test
        diverts events, there is nothing to check.

        Raises:
            SchemaVersionError: The tables are missing, or of another version; says which command migrates.
            DatabaseReadOnlyError: The database, or its user, may not write.
            RecorderError: The database failed in another way.
            TelemetryError: A store without a database cannot be used, such as a gateway that is away.
        """
        if not self._off and current_diversion() is None:
            self._store.check()

    def close(self) -> None:
        """Closes the recorder's own connections. What was recorded is durable already."""
        self._store.close()


def record_span(events: Sequence[BuiltEvent]) -> Span:
    """Returns the span in which a caller's events are stored.

    Begun here and not before the events are built: the trace id in an event is the caller's.
    """
    return span("telemetry record", lambda: _facts(events))


def _facts(events: Sequence[BuiltEvent]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"telemetry.events": len(events)}
    if len(events) == 1:
        # SECURITY: names are constants of the caller's code. Nothing else of an event goes into a trace.
        facts |= {"telemetry.feature": events[0].event.feature, "telemetry.action": events[0].event.action}
    return facts


def _checked_settings(given: "RecorderSettings | None") -> "RecorderSettings":
    # Imported here, because a service that uses another store need not pay for it.
    from recorder.settings import RecorderSettings  # noqa: PLC0415

    return RecorderSettings.load() if given is None else RecorderSettings.checked(given)
