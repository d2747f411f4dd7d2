"""The strict recorder: stores an event in both tables, or raises."""

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
    """Records events, strictly: invalid input raises, and an event is durable when the call returns.

    Make one per process and share it, between threads as well. After a fork the child opens new connections.

    Args:
        store: Where events go.
        service_version: The recording service's own version.
        clock: Returns the time of events without one.
        id_factory: Returns the id of events without one.
        max_event_bytes: The largest serialized event.
        telemetry_mode: With `OFF`, calls check and store nothing, which is logged once.
        catalog: The events that may be recorded; others are rejected. None allows any event.
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
        """Make a recorder with its own database connections.

        Args:
            url: A SQLAlchemy URL, such as `sqlite:///telemetry.db`; by default the settings'.
            service_version: The recording service's own version.
            settings: Made by `RecorderSettings.load`; by default read from the environment, once, by this call.
            export_switch: Called for each event; decides whether it may be exported.

        Raises:
            InvalidSettingsError: The environment holds an invalid setting, or `settings` is not a `RecorderSettings`.
            UnsupportedDatabaseError: The recorder cannot write to the database of this URL or engine.
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
        """Make a recorder on the host's own engine, whose settings are not changed.

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
        """Make a recorder from its parts, without reading settings."""
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
        """Store one event and return its id.

        Args:
            feature: What the event is about; a constant in the caller's code.
            action: What happened to it; a constant in the caller's code.
            parameters: Everything else that is recorded about it.
            id: A canonical UUID version 7 that the caller already has; generated if left out.
            timestamp: When it happened, with a time zone; now if left out.
            connection: The caller's SQLAlchemy connection or session. The event joins its
                transaction: it is stored if, and only if, the caller commits.
            without_event_logs: Skip the row in `event_logs`, for call sites that write it themselves.

        Raises:
            InvalidInputError: An argument is invalid; the class and the message say which and why.
            RecorderError: The database failed; nothing was stored.
            RedactionError: The event could not be redacted; nothing was stored.
        """
        event = NewEvent(feature, action, parameters, id, timestamp)
        return self.record_event(event, connection=connection, without_event_logs=without_event_logs)

    def record_event(
        self, event: NewEvent, *, connection: CallersConnection | None = None, without_event_logs: bool = False
    ) -> str:
        """Store one event that was built before, for example by the helpers of a catalogue, and return its id.

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
        """Store many events, all or none, and return their ids in order.

        Args and errors are those of `record`.
        """
        built: Sequence[BuiltEvent] = ()
        try:
            built = self.build(events, without_event_logs=without_event_logs)
            self.store(built, connection=connection)
        except Exception as error:
            built, events = (), ()  # SECURITY: a traceback shows the local variables of this call, too
            forget_locals(error)
            raise
        return [each.event.id for each in built]

    def build(self, events: Iterable[NewEvent], *, without_event_logs: bool = False) -> list[BuiltEvent]:
        """Check events and return them complete, with the current context, without storing them.

        `batch_record` calls this, then `store`. They are separate for recorders that store events in another thread
        than the caller's.

        Raises:
            InvalidInputError: An event is invalid.
        """
        if self._off:
            return [BuiltEvent(pb.Event(id=event.id or self._builder.new_id())) for event in events]
        in_event_logs = not (without_event_logs or event_logs_skipped())
        return [BuiltEvent(self._builder.build(event), in_event_logs) for event in events]

    def store(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Store events that `build` made, all or none.

        Raises:
            RecorderError: The database failed; nothing was stored.
            RedactionError: An event could not be redacted; nothing was stored.
        """
        if not events or self._off:
            return
        with record_span(events):
            self.write(events, connection=connection)

    def write(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Store events as `store` does, without a span: for recorders that write for many callers at once."""
        if not events or self._off:
            return
        if (diversion := current_diversion()) is not None:
            diversion.take_events(events, store=self._store, connection=connection)
        else:
            self._store.store_events(events, connection=connection)

    def check(self) -> None:
        """Check that events can be recorded now, for a readiness probe, without storing one.

        The tables must exist in a version that this code can use, and the database must be writable. Each call
        queries the database with a few cheap statements, and waits no longer than `record` does. Does nothing while
        telemetry is off, or while a test diverts events.

        Raises:
            SchemaVersionError: The tables are missing, or of another version; the message names the command to run.
            DatabaseReadOnlyError: The database is read-only, or its user may not write.
            RecorderError: The database failed in another way.
            TelemetryError: A store without a database is not available, such as a gateway that cannot be reached.
        """
        if not self._off and current_diversion() is None:
            self._store.check()

    def close(self) -> None:
        """Close the recorder's own connections. Recorded events are already durable."""
        self._store.close()


def record_span(events: Sequence[BuiltEvent]) -> Span:
    """Return the span in which a caller's events are stored.

    It begins after the events are built, so that the trace id in an event is that of the caller's span.
    """
    return span("telemetry record", lambda: _facts(events))


def _facts(events: Sequence[BuiltEvent]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"telemetry.events": len(events)}
    if len(events) == 1:
        # SECURITY: names are constants in the caller's code. Nothing else of an event goes into a trace.
        facts |= {"telemetry.feature": events[0].event.feature, "telemetry.action": events[0].event.action}
    return facts


def _checked_settings(given: "RecorderSettings | None") -> "RecorderSettings":
    # Imported here, so that a service with another store does not pay for the import.
    from recorder.settings import RecorderSettings  # noqa: PLC0415

    return RecorderSettings.load() if given is None else RecorderSettings.checked(given)
