"""Records events into the database: strict, best-effort, buffered and asyncio recorders."""

from recorder.aio import AsyncRecorder
from recorder.best_effort import BestEffortRecorder
from recorder.buffered import BufferedRecorder
from recorder.diversion import Diversion, divert_events
from recorder.event_logs_block import without_event_logs
from recorder.recorder import Recorder
from recorder.tee import TeeStore
from telemetry_store.errors import (
    DatabaseBusyError,
    DatabaseFailedError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    DuplicateEventError,
    InvalidConnectionError,
    RecorderError,
    SchemaVersionError,
    UnsupportedDatabaseError,
)
from telemetry_store.ports import BuiltEvent, EventStore

__all__ = [
    "AsyncRecorder",
    "BestEffortRecorder",
    "BufferedRecorder",
    "BuiltEvent",
    "DatabaseBusyError",
    "DatabaseFailedError",
    "DatabaseFullError",
    "DatabaseReadOnlyError",
    "DatabaseUnavailableError",
    "Diversion",
    "DuplicateEventError",
    "EventStore",
    "InvalidConnectionError",
    "Recorder",
    "RecorderError",
    "SchemaVersionError",
    "TeeStore",
    "UnsupportedDatabaseError",
    "divert_events",
    "without_event_logs",
]
