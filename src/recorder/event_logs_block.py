"""The `with` block in which events get no row in `event_logs`."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_WITHOUT_EVENT_LOGS: ContextVar[bool] = ContextVar("telemetry_without_event_logs", default=False)


@contextmanager
def without_event_logs() -> Generator[None]:
    """Skip the row in `event_logs` for events recorded inside the `with` block.

    For call sites that still write to that table themselves.
    """
    token = _WITHOUT_EVENT_LOGS.set(True)
    try:
        yield
    finally:
        _WITHOUT_EVENT_LOGS.reset(token)


def event_logs_skipped() -> bool:
    """Return whether the current context is inside a `without_event_logs` block."""
    return _WITHOUT_EVENT_LOGS.get()
