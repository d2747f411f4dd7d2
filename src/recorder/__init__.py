"""Records events into the database: strict, best-effort, buffered and asyncio recorders."""

from typing import TYPE_CHECKING

from recorder.best_effort import BestEffortRecorder
from recorder.buffered import BufferedRecorder
from recorder.diversion import Diversion, divert_events
from recorder.event_logs_block import without_event_logs
from recorder.recorder import Recorder
from recorder.tee import TeeStore
from telemetry_runtime.lazy_face import load_lazily
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

if TYPE_CHECKING:
    from recorder.aio import AsyncRecorder

    __version__: str
else:
    _load = load_lazily(__name__, {"AsyncRecorder": "aio"})  # a service without asyncio does not load that

    def __getattr__(name: str) -> object:
        if name != "__version__":
            return _load(name)
        from importlib.metadata import version  # noqa: PLC0415 - for services that ask for it

        return version("telemetry-recorder")


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
