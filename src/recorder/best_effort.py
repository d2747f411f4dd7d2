"""The recorder for callers that must go on: failures are logged, not raised."""

from collections.abc import Iterable
from datetime import datetime
from typing import LiteralString

from recorder.recorder import Recorder
from recorder.transaction import callers_connection, savepoint
from telemetry import EventParameters, NewEvent, TelemetryError
from telemetry.logger import get_logger
from telemetry.names import is_valid_name
from telemetry_store.ports import CallersConnection

_log = get_logger(__name__)


class BestEffortRecorder:
    """Records like `Recorder`, but logs a line in place of each failure and returns None.

    In a caller's transaction a failure undoes the event alone; the transaction goes on.

    Args:
        recorder: The strict recorder that does the work.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

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
    ) -> str | None:
        """Stores one event and returns its id, or logs why not. Args as for `Recorder.record`."""
        event = NewEvent(feature, action, parameters, id, timestamp)
        return self.record_event(event, connection=connection, without_event_logs=without_event_logs)

    def record_event(
        self, event: NewEvent, *, connection: CallersConnection | None = None, without_event_logs: bool = False
    ) -> str | None:
        """Stores one event that was made beforehand and returns its id, or logs why not."""
        ids = self.batch_record([event], connection=connection, without_event_logs=without_event_logs)
        return ids[0] if ids else None

    def batch_record(
        self,
        events: Iterable[NewEvent],
        *,
        connection: CallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> list[str] | None:
        """Stores many events, all or none, and returns their ids, or logs why not, a line an event."""
        given: list[NewEvent] = []

        def recording() -> list[str]:
            given.extend(events)
            if connection is None:
                return self._recorder.batch_record(given, without_event_logs=without_event_logs)
            # A statement that fails on PostgreSQL spoils the transaction back to a savepoint.
            with savepoint(callers_connection(connection)):
                return self._recorder.batch_record(given, connection=connection, without_event_logs=without_event_logs)

        try:
            return recording()
        except Exception as error:  # noqa: BLE001 - no failure of telemetry may reach the caller
            for event in given:
                log_failure(event, error)
            return None

    def check(self) -> bool:
        """Returns whether events can be stored now, for a readiness probe; logs why not. Records none."""
        return log_if_not_ready(self._recorder)

    def close(self) -> None:
        """Closes the recorder's own connections."""
        self._recorder.close()


def log_if_not_ready(recorder: Recorder) -> bool:
    """Returns whether a recorder can store events now; logs why not."""
    try:
        recorder.check()
    except Exception as error:  # noqa: BLE001 - no failure of telemetry may reach the caller
        _log.error("recorder not ready", error=type(error).__name__, problem=_problem(error))
        return False
    return True


def log_failure(event: NewEvent, error: BaseException) -> None:
    """Logs that an event was not recorded: its names, its parameters' version, the error."""
    if not isinstance(event, NewEvent):  # what a caller put among the events may be anything
        log_not_recorded("", "", None, error)
        return
    version = event.parameters.version if isinstance(event.parameters, EventParameters) else None
    if not isinstance(version, int):  # SECURITY: one that breaks the rule may be anything
        version = None
    log_not_recorded(event.feature, event.action, version, error)


def log_not_recorded(feature: str, action: str, version: int | None, error: BaseException) -> None:
    """Logs that an event of these names was not recorded."""
    # SECURITY: no parameter's value. Names that break the rule may hold one, and so may the text
    # of an error that is not ours.
    _log.error(
        "event not recorded",
        feature=feature if is_valid_name(feature) else "(invalid)",
        action=action if is_valid_name(action) else "(invalid)",
        parameters_version=version,
        error=type(error).__name__,
        problem=_problem(error),
    )


def _problem(error: BaseException) -> str:
    return str(error) if isinstance(error, TelemetryError) else "unexpected error"
