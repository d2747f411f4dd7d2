"""The recorder for callers that must continue after a failure: errors are logged, not raised."""

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
    """Records like `Recorder`, but logs each failure instead of raising it, and returns None.

    In a caller's transaction a failure rolls back only the event; the transaction continues.

    Args:
        recorder: The strict recorder that stores the events.
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
        """Store one event and return its id, or log the failure. Args as for `Recorder.record`."""
        event = NewEvent(feature, action, parameters, id, timestamp)
        return self.record_event(event, connection=connection, without_event_logs=without_event_logs)

    def record_event(
        self, event: NewEvent, *, connection: CallersConnection | None = None, without_event_logs: bool = False
    ) -> str | None:
        """Store one event that was built before and return its id, or log the failure."""
        ids = self.batch_record([event], connection=connection, without_event_logs=without_event_logs)
        return ids[0] if ids else None

    def batch_record(
        self,
        events: Iterable[NewEvent],
        *,
        connection: CallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> list[str] | None:
        """Store many events, all or none, and return their ids, or log the failure, one line for each event."""
        given: list[NewEvent] = []

        def recording() -> list[str]:
            given.extend(events)
            if connection is None:
                return self._recorder.batch_record(given, without_event_logs=without_event_logs)
            # After a failed statement PostgreSQL aborts the transaction, unless it is rolled back to a savepoint.
            with savepoint(callers_connection(connection)):
                return self._recorder.batch_record(given, connection=connection, without_event_logs=without_event_logs)

        try:
            return recording()
        except Exception as error:  # noqa: BLE001 - no failure of telemetry may reach the caller
            for event in given:
                log_failure(event, error)
            return None

    def check(self) -> bool:
        """Return whether events can be stored now, for a readiness probe; log why not. Stores no event."""
        return log_if_not_ready(self._recorder)

    def close(self) -> None:
        """Close the recorder's own connections."""
        self._recorder.close()


def log_if_not_ready(recorder: Recorder) -> bool:
    """Return whether a recorder can store events now; log why not."""
    try:
        recorder.check()
    except Exception as error:  # noqa: BLE001 - no failure of telemetry may reach the caller
        _log.error("recorder not ready", error=type(error).__name__, problem=_problem(error))
        return False
    return True


def log_failure(event: NewEvent, error: BaseException) -> None:
    """Log that an event was not recorded: its names, its parameters' version and the error."""
    if not isinstance(event, NewEvent):  # a caller may pass anything as an event
        log_not_recorded("", "", None, error)
        return
    version = event.parameters.version if isinstance(event.parameters, EventParameters) else None
    if not isinstance(version, int):  # SECURITY: an invalid version may be any value
        version = None
    log_not_recorded(event.feature, event.action, version, error)


def log_not_recorded(feature: str, action: str, version: int | None, error: BaseException) -> None:
    """Log that an event with these names was not recorded."""
    # SECURITY: never log a parameter's value. Invalid names may hold one, and so may the text of an error of
    # another library.
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
