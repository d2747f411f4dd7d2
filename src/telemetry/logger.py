"""Log lines that reach the host: through the standard library's logging, or through the host's structlog."""

import logging
import sys
from typing import Any, Final

from telemetry.tracing import Fact, Facts

_METHODS: Final = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}
# What every supported Python gives a record, and what formatters add: the same names everywhere.
_RECORD_KEYS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"asctime", "message", "taskName"}
_CALLER: Final = 4
"""How many calls up the line that logs is: past `_write`, `_log`, and `info` or its like."""


class Logger:
    """Writes events with keys, as structlog does, where the host looks for them.

    A host that has configured structlog gets them through structlog, as its configuration is at that moment. Any other
    host gets records of the standard library's logging: readable text, and each key as an attribute of the record.
    Never raises: a handler that fails costs the line, not what the host was doing.

    SECURITY: takes no exception and adds no traceback. Both may hold what an event holds.

    Args:
        name: The name of the logger.
    """

    __slots__ = ("_logger", "_name", "_structlog")

    def __init__(self, name: str) -> None:
        self._name = name
        # Made with the first line: `dictConfig` disables the loggers that exist when the host calls it.
        self._logger: logging.Logger | None = None
        self._structlog: Any = None

    def info(self, event: str, /, **facts: Fact | None) -> None:
        """Log an event that is as it should be."""
        self._log(logging.INFO, event, facts)

    def warning(self, event: str, /, **facts: Fact | None) -> None:
        """Log an event that may need attention."""
        self._log(logging.WARNING, event, facts)

    def error(self, event: str, /, **facts: Fact | None) -> None:
        """Log an event that needs attention."""
        self._log(logging.ERROR, event, facts)

    def log(self, level: int, event: str, /, **facts: Fact | None) -> None:
        """Log an event at a level of the standard library."""
        self._log(level, event, facts)

    def _log(self, level: int, event: str, facts: Facts) -> None:
        try:
            # Looked up, not imported: a host that has configured structlog has loaded it.
            is_configured = getattr(sys.modules.get("structlog"), "is_configured", None)
            if is_configured is not None and is_configured():
                self._write_to_structlog(level, event, facts)
            else:
                self._write(level, event, facts)
        except Exception:  # noqa: BLE001, S110 - there is no place left to report to
            pass

    def _write(self, level: int, event: str, facts: Facts) -> None:
        logger = self._logger
        if logger is None:
            logger = self._logger = logging.getLogger(self._name)
        if not logger.isEnabledFor(level):
            return
        # The text is the same for each event of a kind, because error trackers group by it. Values are quoted, so that
        # none can begin another line.
        text = event
        if facts:
            text = f"{event.replace('%', '%%')}: {' '.join(f'{key}=%r' for key in facts)}"
        file, line, function, _ = logger.findCaller(stacklevel=_CALLER)
        record = logger.makeRecord(
            self._name, level, file, line, text, tuple(facts.values()), exc_info=None, func=function
        )
        # Not as `extra`, which raises where the host's own record factory has set an attribute of the same name.
        for key, value in {"event": event, **facts}.items():
            free = key
            while free in record.__dict__ or free in _RECORD_KEYS:
                free += "_"
            record.__dict__[free] = value
        logger.handle(record)

    def _write_to_structlog(self, level: int, event: str, facts: Facts) -> None:
        if self._structlog is None:
            self._structlog = sys.modules["structlog"].get_logger(self._name)
        getattr(self._structlog, _METHODS.get(level, "error"))(event, **facts)


def get_logger(name: str) -> Logger:
    """Return the logger of a module.

    Args:
        name: Begins with the name of the package, then a dot. The package's own logger gets a `NullHandler`, so that
            nothing is printed where the host has configured no logging.
    """
    package = logging.getLogger(name.partition(".")[0])
    if not any(isinstance(handler, logging.NullHandler) for handler in package.handlers):
        package.addHandler(logging.NullHandler())
    return Logger(name)


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record holds beside the attributes that every record has."""
    return {key: value for key, value in record.__dict__.items() if key not in _RECORD_KEYS}
