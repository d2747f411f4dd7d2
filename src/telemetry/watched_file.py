"""A file that a running service reads again when somebody has changed it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

T = TypeVar("T")

_log: Final = structlog.get_logger("telemetry.watched_file")


class WatchedFile(Generic[T]):
    """What stands in a file, as of its last version that could be read.

    A look at the file's time, size and inode tells whether it changed; nothing runs in the background. A version that
    breaks a rule, or a file that is gone, is said once in the log, and what stood there before holds: a file that is
    just being replaced must not shut everybody out. Threads may share one.

    Args:
        path: The file.
        read: Reads it. What it raises of `ValueError` and `OSError` must show nothing secret of the file: it is logged.

    Raises:
        ValueError, OSError: What `read` raises at the start.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path = path
        self._read = read
        self._lock = threading.Lock()
        self._seen = self._version()
        self._content = read(path)

    def content(self) -> T:
        """Returns what stands in the file now, or stood in its last version that could be read."""
        if self._version() != self._seen:
            with self._lock:
                version = self._version()
                if version != self._seen:
                    # Noted before the file is read: a change during the reading is seen at the next call.
                    self._seen = version
                    self._read_again()
        return self._content

    def _read_again(self) -> None:
        try:
            self._content = self._read(self._path)
        except (OSError, ValueError) as error:
            file, problem = str(self._path), str(error)
            _log.error("changed file cannot be used, its former version holds", file=file, problem=problem)
        else:
            _log.info("changed file read again", file=str(self._path))

    def _version(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
