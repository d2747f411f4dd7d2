"""Puts events into the database: strict, best-effort and asyncio recorders."""

from recorder.aio import AsyncRecorder
from recorder.best_effort import BestEffortRecorder
from recorder.buffered import BufferedRecorder
from recorder.diversion import Diversion, divert_events
from recorder.recorder import Recorder
from recorder.tee import TeeStore, without_event_logs
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
from telemetry_store.ports import EventStore

__all__ = [
    "AsyncRecorder",
    "BestEffortRecorder",
    "BufferedRecorder",
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
