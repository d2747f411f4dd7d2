"""Files that a running service reads again after they have changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from telemetry.logger import get_logger

T = TypeVar("T")

_log: Final = get_logger(__name__)


class WatchedFiles(Generic[T]):
    """The content of files that belong together, in the last version that could be read.

    Each access compares the files' modification times, sizes and inodes; nothing runs in the background. An invalid
    or missing file is logged once, and the previous content stays in use: clients must not be locked out while files
    are replaced. Threads and forked processes can share an instance.

    Args:
        paths: The files.
        read: Reads the files. The text of each `ValueError` and `OSError` is logged, so it must not contain secrets.

    Raises:
        ValueError, OSError: Raised by `read` at the start.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._held = (self._version(), read())

    def content(self) -> T:
        """Return the current content of the files, or the last content that could be read."""
        seen, content = self._held
        # The version is taken before reading, so that the next call sees a change that happens during the reading.
        # Version and content are set together, without a lock: if two threads read at the same time, either may win.
        if (version := self._version()) != seen:
            content = self._read_again(content)
            self._held = (version, content)
        return content

    def _read_again(self, previous: T) -> T:
        files = ", ".join(map(str, self._paths))
        try:
            content = self._read()
        except (OSError, ValueError) as error:
            _log.error("changed file rejected, previous content stays in use", files=files, problem=str(error))
            return previous
        _log.info("changed file read again", files=files)
        return content

    def _version(self) -> tuple[tuple[int, ...] | None, ...]:
        return tuple(map(_version, self._paths))


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
