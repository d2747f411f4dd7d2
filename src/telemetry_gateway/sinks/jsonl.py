"""The sink `jsonl`: appends each message to a file as a line of JSON, and syncs before the acknowledgement."""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from telemetry.logger import get_logger
from telemetry_gateway.directories import sync_directory
from telemetry_gateway.errors import SinkBrokenError, SinkError
from telemetry_gateway.sinks.lines import decode_key, encode_line
from telemetry_gateway.sinks.rotation import (
    Rotation,
    closed_files,
    closed_name,
    compress,
    open_closed,
    uncompressed_files,
)
from telemetry_gateway.sinks.sink import Message

_BLOCK: Final = 64 * 1024
_log = get_logger(__name__)


class JsonlSink:
    """Appends to a file, and syncs once for each group of messages.

    A crash can leave an incomplete line at the end of the file. It was not acknowledged, and is removed at the start.

    Args:
        path: The file; created if it does not exist. Only one gateway can write to it.
        max_message_bytes: The largest message body.
        rotation: When to close the file and start a new one; by default never.
        clock: Returns the time in seconds since the epoch.
        sync: Syncs a file descriptor to the disk.

    Raises:
        SinkError: The file cannot be opened or repaired, or another gateway writes to it.
    """

    def __init__(
        self,
        path: Path,
        max_message_bytes: int,
        *,
        rotation: Rotation | None = None,
        clock: Callable[[], float] = time.time,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self._path = path
        self._rotation = Rotation() if rotation is None else rotation
        self._clock = clock
        self._sync = sync
        self._broken = False
        self._compresses_leftovers = self._rotation.compress
        self._compressor = ThreadPoolExecutor(1, thread_name_prefix="gateway-compress")
        self._lock = _lock(path)
        try:
            self._file = self._open()
            self._size = self._repair()
            status = os.fstat(self._file)
        except OSError as error:
            os.close(self._lock)
            raise SinkError(f"{path} cannot be opened for writing: {error.strerror}") from None
        self._inode = status.st_ino
        self._written_at = status.st_mtime

    def publish(self, messages: Sequence[Message]) -> None:
        """Write the messages, and wait until they are synced to the disk."""
        if self._broken:
            raise SinkBrokenError(f"{self._path} could not be written before; repair the disk and restart the gateway")
        if self._compresses_leftovers:  # not earlier, because these files are read at the start
            self._compresses_leftovers = False
            self._compressor.submit(_compress_leftovers, self._path)
        data = memoryview(b"".join(encode_line(message) for message in messages))
        now = self._clock()
        doing = "written"
        try:
            if self._rotation.is_due(self._size, len(data), self._written_at, now):
                self._rotate(now)
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            doing = "synced"
            self._sync(self._file)
        except OSError as error:
            problem = error.strerror
            # After a failed fsync the kernel may drop the unwritten data, and a second fsync may succeed nevertheless.
            # So this process acknowledges nothing more.
            self._broken = doing == "synced"
            self._cut_back()
        else:
            self._size += len(data)
            self._written_at = now
            return
        failure = SinkBrokenError if self._broken else SinkError
        raise failure(f"{self._path} cannot be {doing}: {problem}")

    def published_since(self, position: str, not_before: float) -> Iterable[tuple[str, str]]:
        """Yield the keys of the messages in lines that start at or after `position`.

        Raises:
            SinkError: A file cannot be read.
        """
        try:
            yield from self._published_since(position, not_before)
        except (OSError, EOFError) as error:  # EOFError: a truncated compressed file
            raise SinkError(f"what was published to {self._path} cannot be read: {error}") from None

    def _published_since(self, position: str, not_before: float) -> Iterator[tuple[str, str]]:
        inode, _, offset = position.partition(":")
        files = [*closed_files(self._path), self._path]
        for index, file in enumerate(files):
            status = file.stat()
            if str(status.st_ino) == inode and offset.isdecimal() and int(offset) <= status.st_size:
                yield from _keys(file, int(offset))
                for later in files[index + 1 :]:
                    yield from _keys(later, 0)
                return
        for file in files:  # the file of the position no longer exists, or the position is empty
            if file.stat().st_mtime >= not_before:
                yield from _keys(file, 0)

    @property
    def position(self) -> str:
        """The file's inode and its size in bytes."""
        return f"{self._inode}:{self._size}"

    def close(self) -> None:
        """Close the file, and wait for the compression of closed files."""
        self._compressor.shutdown()
        os.close(self._file)
        os.close(self._lock)

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Always, because a process may have been killed between creating or renaming the file and this call.
            sync_directory(self._path.parent)
        except BaseException:
            os.close(file)
            raise
        return file

    def _rotate(self, now: float) -> None:
        closed = closed_name(self._path, now)
        self._path.rename(closed)
        try:
            file = self._open()
        except OSError:
            closed.rename(self._path)  # continue with the open file under its name
            raise
        os.close(self._file)
        self._file = file
        self._size = 0
        self._inode = os.fstat(self._file).st_ino
        _log.info("file closed", path=str(closed))
        if self._rotation.compress:
            self._compressor.submit(_compress, closed)

    def _cut_back(self) -> None:
        """Truncate the file after a failed write, so that it ends with a complete, acknowledged line."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._broken = True

    def _repair(self) -> int:
        size = os.fstat(self._file).st_size
        end = size
        while end > 0:
            start = max(0, end - _BLOCK)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            _log.warning("torn line cut off", path=str(self._path), bytes=size - end)
            os.ftruncate(self._file, end)
        # Lines that a killed process wrote but did not sync count as published from now on.
        self._sync(self._file)
        return end


def _lock(path: Path) -> int:
    """Lock the file for this process until the lock is closed or the process ends."""
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        problem = error.strerror
    else:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            problem = "another gateway writes to it"
        else:
            return lock
    raise SinkError(f"{path} cannot be opened for writing: {problem}")


def _keys(file: Path, offset: int) -> Iterator[tuple[str, str]]:
    with open_closed(file) as lines:
        lines.seek(offset)
        for line in lines:
            try:
                yield decode_key(line)
            except ValueError:
                _log.warning("line skipped: not written by this sink", path=str(file))


def _compress_leftovers(path: Path) -> None:
    try:
        leftovers = list(uncompressed_files(path))
    except OSError as error:
        _log.error("leftovers of compression not removed", path=str(path), error=error.strerror)
        return
    for closed in leftovers:
        _compress(closed)


def _compress(closed: Path) -> None:
    try:
        if closed.exists():  # a file that is closed while leftovers are searched is found twice
            compress(closed)
    except OSError as error:  # the file stays uncompressed until the next start
        _log.error("closed file not compressed", path=str(closed), error=error.strerror)
