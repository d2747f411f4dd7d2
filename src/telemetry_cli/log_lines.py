"""The logging of the command line: lines on standard error."""

import logging
import sys
from typing import Any, Final

from telemetry.logger import facts_of

PACKAGES: Final = (
    "export",
    "recorder",
    "telemetry",
    "telemetry_admin",
    "telemetry_catalog",
    "telemetry_cli",
    "telemetry_gateway",
    "telemetry_ingest",
    "telemetry_runtime",
    "telemetry_store",
)
"""The packages whose logs are printed."""


def log_to_stderr(level: int = logging.WARNING) -> None:
    """Print the logs of this process on standard error, from a level on: readable in a terminal, JSON otherwise."""
    stop_logging_to_stderr()
    if "structlog" in sys.modules:
        _configure_structlog(level, sys.stderr)
        return
    # Most commands do not log, and loading structlog would take a tenth of their time.
    handler = _FirstLine(level, sys.stderr)
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)


def stop_logging_to_stderr() -> None:
    """Undo the changes of `log_to_stderr` to the loggers."""
    for name in PACKAGES:
        logger = logging.getLogger(name)
        for handler in logger.handlers[:]:
            if isinstance(handler, _FirstLine):
                logger.removeHandler(handler)
                logger.setLevel(logging.NOTSET)


class _FirstLine(logging.Handler):
    """A handler that loads and configures structlog with the first line. Later lines go to structlog directly.

    It stays in place: another thread may have chosen it while structlog was being loaded.
    """

    def __init__(self, level: int, stream: Any) -> None:
        super().__init__()
        self._lines_from = level
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        import structlog  # noqa: PLC0415 - loaded with the first line, not with the module

        if not structlog.is_configured():
            _configure_structlog(self._lines_from, self._stream)
        facts = facts_of(record)
        structlog.get_logger(record.name).log(record.levelno, facts.pop("event", record.getMessage()), **facts)


def _configure_structlog(level: int, stream: Any) -> None:
    import structlog  # noqa: PLC0415 - loaded with the first line, not with the module

    render: Any = structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
