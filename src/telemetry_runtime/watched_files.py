"""Files that a running service reads again when somebody has changed them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from telemetry.logger import get_logger

T = TypeVar("T")

_log: Final = get_logger(__name__)


class WatchedFiles(Generic[T]):
    """What stands in files that belong together, as of their last version that could be read.

    A look at the files' times, sizes and inodes tells whether one changed; nothing runs in the background. A version
    that breaks a rule, or a file that is gone, is said once in the log, and what stood there before holds: files that
    are just being replaced must not shut everybody out. Threads may share one, and so may forked processes.

    Args:
        paths: The files.
        read: Reads them. What it raises of `ValueError` and `OSError` must show nothing secret of them: it is logged.

    Raises:
        ValueError, OSError: What `read` raises at the start.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._held = (self._version(), read())

    def content(self) -> T:
        """Returns what stands in the files now, or stood in their last version that could be read."""
        seen, content = self._held
        # Looked at before the files are read: a change during the reading is seen at the next call. Version and content
        # are set as one, without a lock: of two threads that read at once, either may be the last.
        if (version := self._version()) != seen:
            content = self._read_again(content)
            self._held = (version, content)
        return content

    def _read_again(self, former: T) -> T:
        files = ", ".join(map(str, self._paths))
        try:
            content = self._read()
        except (OSError, ValueError) as error:
            _log.error("changed file cannot be used, its former version holds", files=files, problem=str(error))
            return former
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
