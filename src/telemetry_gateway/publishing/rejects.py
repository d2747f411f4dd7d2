"""Store the events that can never succeed, each with its reason, for inspection and replay."""

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
    """A rejected event.

    Attributes:
        at: The time of the rejection.
        reason: The reason for the rejection.
        publisher: The name of the publisher, see `Publisher`.
        metadata: The metadata of the stream.
        event: The event as received.
    """

    at: datetime
    reason: str
    publisher: str
    metadata: pb.RecordEventsRequestMetadata
    event: pb.Event


class RejectsFile:
    """A file of rejected events, one JSON line each, synced before the response is sent.

    Its size is limited: a file larger than `max_bytes` is renamed to `<name>.1`, which replaces the previous one.

    Args:
        path: The file. It is created for the first rejected event, and readable by its owner only.
        max_bytes: The size above which the file is renamed.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def add(self, rejects: Iterable[Reject]) -> None:
        """Store rejected events. Thread-safe.

        Raises:
            RejectsError: The file cannot be written.
        """
        with self._lock:
            for block in _blocks(rejects):
                _append(self._path, block, self._max_bytes)


def put_aside(path: Path) -> Iterator[Path]:
    """Rename each file of a `RejectsFile`, so that no gateway writes to it; yield the new paths, oldest first.

    The caller deletes each file before it requests the next one. A file left by an interrupted call is yielded first.

    Raises:
        RejectsError: A file cannot be renamed.
    """
    aside = _aside(path)
    if aside.exists():
        yield aside
    for kept in (_former(path), path):
        if not kept.exists():
            continue
        if aside.exists():
            raise RejectsError(f"{aside} still exists")
        try:
            file = _open_locked(kept)
            try:
                kept.rename(aside)
            finally:
                os.close(file)
        except OSError as error:
            raise RejectsError(f"{kept} cannot be renamed to {aside.name}: {error.strerror}") from None
        yield aside


def _former(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".replaying")


def _open_locked(path: Path) -> int:
    """Open the file for appending, with a lock that keeps other processes from writing or renaming it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
                if os.fstat(file).st_size == 0:  # a new file, whose name may not be durable yet
                    sync_directory(path.parent)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # renamed in the meantime


def read_rejects(path: Path) -> Iterator[Reject]:
    """Yield the events in a `RejectsFile`, oldest first. Skip invalid lines.

    Raises:
        RejectsError: The file cannot be read.
    """
    return (kept for kept in read_lines(path) if isinstance(kept, Reject))


def read_lines(path: Path) -> Iterator[Reject | bytes]:
    """Yield the events in a `RejectsFile`, oldest first. Yield an invalid line as bytes.

    A crash can leave an incomplete line. Its event was not acknowledged, so the exporter sends it again. Any other
    invalid line needs manual inspection.

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
    """Append lines durably to the file `<name>.unreadable`.

    Raises:
        RejectsError: The file cannot be written.
    """
    _append(path.with_name(path.name + ".unreadable"), b"".join(line + b"\n" for line in lines))


def _append(path: Path, data: bytes, max_bytes: int | None = None) -> None:
    """Append lines durably. A file that is then larger than `max_bytes` is renamed to `<name>.1`."""
    try:
        file = _open_locked(path)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                # A crash or a full disk left an incomplete last line. Without a line feed it would spoil the next line.
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
    """Yield the lines of rejected events in blocks.

    Each line repeats the metadata of the stream, so all lines together may be a thousand times as large as the request.
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
    # The event is stored in binary form, because a rejected event may not be valid in JSON.
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
