"""Keeps the events that can never succeed, each with its reason, so that a person can look and send them again."""

import base64
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from google.protobuf.message import DecodeError

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.directories import sync_directory
from telemetry_gateway.errors import RejectsError

_BLOCK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reject:
    """An event that was rejected.

    Attributes:
        at: When.
        reason: Why.
        publisher: Who sent it, as duplicates are told by.
        metadata: What its stream said of itself.
        event: The event, as it came.
    """

    at: datetime
    reason: str
    publisher: str
    metadata: pb.RecordEventsRequestMetadata
    event: pb.Event


class RejectsFile:
    """A file of rejected events, a JSON line each, synced before the rejection is told.

    It is bounded: past `max_bytes` it becomes `<name>.1`, in place of the former one.

    Args:
        path: The file; made when it is first needed, readable by its owner only.
        max_bytes: When it is put aside.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def add(self, rejects: Iterable[Reject]) -> None:
        """Keeps rejected events. May be called from any thread.

        Raises:
            RejectsError: They cannot be written.
        """
        with self._lock:
            for block in _blocks(rejects):
                _append(self._path, block, self._max_bytes)


def put_aside(path: Path) -> Iterator[Path]:
    """Yield what a `RejectsFile` keeps, file by file, the oldest first, each under a name of its own.

    Whoever takes a file over deletes it when it is done with. What an earlier call put aside comes first.

    Raises:
        RejectsError: A file cannot be put aside.
    """
    aside = _aside(path)
    if aside.exists():
        yield aside
    for kept in (_former(path), path):
        if not kept.exists():
            continue
        if aside.exists():
            raise RejectsError(f"{aside} is still there")
        try:
            file = _open_locked(kept)
            try:
                kept.rename(aside)
            finally:
                os.close(file)
        except OSError as error:
            raise RejectsError(f"{kept} cannot be put aside: {error.strerror}") from None
        yield aside


def _former(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".replaying")


def _open_locked(path: Path) -> int:
    """Opens the file for appending, while nobody else writes to it or puts it aside."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
                if os.fstat(file).st_size == 0:  # new, so its name may not be on the disk yet
                    sync_directory(path.parent)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # put aside meanwhile


def read_rejects(path: Path) -> Iterator[Reject]:
    """Yield what a `RejectsFile` keeps, the oldest first, without the lines that cannot be read.

    Raises:
        RejectsError: The file cannot be read.
    """
    return (kept for kept in read_lines(path) if isinstance(kept, Reject))


def read_lines(path: Path) -> Iterator[Reject | bytes]:
    """Yield the lines of a `RejectsFile`, the oldest first; one that cannot be read as it is.

    A crash may tear one, before its event is acknowledged, which so comes again. Any other is a person's to judge.

    Raises:
        RejectsError: The file cannot be read.
    """
    for file in (_aside(path), _former(path), path):
        try:
            lines = file.read_bytes().split(b"\n")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RejectsError(f"{file} cannot be read: {error.strerror}") from None
        yield from (_decode(line) or line for line in lines if line)


def keep_unreadable(path: Path, lines: Iterable[bytes]) -> None:
    """Adds lines to the file `<name>.unreadable`, durably.

    Raises:
        RejectsError: It cannot be written.
    """
    _append(path.with_name(path.name + ".unreadable"), b"".join(line + b"\n" for line in lines))


def _append(path: Path, data: bytes, max_bytes: int | None = None) -> None:
    """Adds lines, durably; a file that is larger than `max_bytes` then becomes the former one."""
    try:
        file = _open_locked(path)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                # A crash or a full disk tore the last line; joined to it, the next one could not be read either.
                data = b"\n" + data
            written = 0
            while written < len(data):
                written += os.write(file, data[written:])
            os.fsync(file)
        finally:
            os.close(file)
        if max_bytes is not None and size + len(data) > max_bytes:
            path.replace(_former(path))
    except OSError as error:
        raise RejectsError(f"{path} cannot be written: {error.strerror}") from None


def _blocks(rejects: Iterable[Reject]) -> Iterator[bytes]:
    """Yield their lines in blocks.

    Each repeats its stream's metadata: all at once may be a thousand times as large as the message that they came in.
    """
    lines: list[bytes] = []
    size = 0
    for reject in rejects:
        lines.append(_encode(reject))
        size += len(lines[-1])
        if size >= _BLOCK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


def _encode(reject: Reject) -> bytes:
    # The event as bytes: what made it unacceptable may be what JSON cannot hold.
    line = {
        "at": reject.at.astimezone(UTC).isoformat(),
        "reason": reject.reason,
        "publisher": reject.publisher,
        "eventId": reject.event.id,
        "metadata": base64.b64encode(reject.metadata.SerializeToString()).decode(),
        "event": base64.b64encode(reject.event.SerializeToString()).decode(),
    }
    return orjson.dumps(line) + b"\n"


def _decode(line: bytes) -> Reject | None:
    try:
        value = orjson.loads(line)
        return Reject(
            datetime.fromisoformat(value["at"]),
            value["reason"],
            value["publisher"],
            pb.RecordEventsRequestMetadata.FromString(base64.b64decode(value["metadata"])),
            pb.Event.FromString(base64.b64decode(value["event"])),
        )
    except (ValueError, KeyError, TypeError, DecodeError):
        return None
