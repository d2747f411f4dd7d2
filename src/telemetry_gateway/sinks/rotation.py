"""Rotation of the file of the sink `jsonl`: when to close it, the names of closed files, and their compression."""

import glob
import gzip
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from telemetry_gateway.directories import sync_directory

_COMPRESSED: Final = ".gz"
_PART: Final = ".part"


@dataclass(frozen=True, slots=True)
class Rotation:
    """When to close a file and start a new one. A file is closed only when there is a message for the next file.

    Attributes:
        max_bytes: Close the file before it becomes larger than this, or None for no limit.
        interval: Close the file at the first message of a new interval (UTC), or None to ignore its age.
        compress: Whether to compress closed files (gzip).
    """

    max_bytes: int | None = None
    interval: timedelta | None = None
    compress: bool = False

    def is_due(self, size: int, growth: int, written_at: float, now: float) -> bool:
        """Return whether to close a file of `size` bytes that was last written at `written_at`."""
        if size == 0:
            return False
        if self.max_bytes is not None and size + growth > self.max_bytes:
            return True
        seconds = 0.0 if self.interval is None else self.interval.total_seconds()
        return bool(seconds) and now // seconds != written_at // seconds


def closed_name(path: Path, now: float) -> Path:
    """Return the new name of the file `path` when it is closed. Names sort by time."""
    at = datetime.fromtimestamp(now, UTC)
    while True:
        closed = path.with_name(f"{path.stem}-{at:%Y%m%dT%H%M%S.%fZ}{path.suffix}")
        if not closed.exists() and not _compressed(closed).exists():
            return closed
        at += timedelta(microseconds=1)


def closed_files(path: Path) -> list[Path]:
    """Return the closed files of `path`, compressed or not, oldest first."""
    found = {file for suffix in ("", _COMPRESSED) for file in path.parent.glob(f"{_glob(path)}{suffix}")}
    # If a crash has left both files, the compressed one is complete, so the other one is ignored.
    return sorted(file for file in found if _compressed(file) not in found)


def compress(closed: Path) -> Path:
    """Compress a closed file, and return its new path. After a crash, the old or the new file is complete."""
    target = _compressed(closed)
    part = target.with_name(target.name + _PART)
    with closed.open("rb") as source, part.open("wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed:
            shutil.copyfileobj(source, packed, 1024 * 1024)
        raw.flush()
        os.fsync(raw.fileno())
    shutil.copystat(closed, part)
    part.replace(target)
    sync_directory(closed.parent)
    closed.unlink()
    return target


def uncompressed_files(path: Path) -> Iterator[Path]:
    """Yield the closed files that are not compressed. Delete incomplete files that a crash has left."""
    for part in path.parent.glob(f"{_glob(path)}{_COMPRESSED}{_PART}"):
        part.unlink()
    for closed in path.parent.glob(_glob(path)):
        if _compressed(closed).exists():
            closed.unlink()
        else:
            yield closed


def open_closed(path: Path) -> BinaryIO:
    """Open a closed file for reading."""
    if path.suffix == _COMPRESSED:
        return gzip.GzipFile(path, "rb")  # type: ignore[return-value]  # has the methods of BinaryIO
    return path.open("rb")


def _glob(path: Path) -> str:
    return f"{glob.escape(path.stem)}-????????T??????.??????Z{glob.escape(path.suffix)}"


def _compressed(closed: Path) -> Path:
    return closed.with_name(closed.name + _COMPRESSED)
