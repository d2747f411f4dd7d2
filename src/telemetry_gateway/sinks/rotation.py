"""When the file of the sink `jsonl` is closed, what it is called then, and its compression."""

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
    """When a file is closed and a new one begun. A file is only closed when a message comes for the next.

    Attributes:
        max_bytes: Before it would grow larger than this; None: never for its size.
        interval: When a new interval of UTC began since it was last written; None: never for its age.
        compress: Whether closed files are compressed (gzip).
    """

    max_bytes: int | None = None
    interval: timedelta | None = None
    compress: bool = False

    def is_due(self, size: int, growth: int, written_at: float, now: float) -> bool:
        """Return whether a file of `size` bytes, last written at `written_at`, is to be closed."""
        if size == 0:
            return False
        if self.max_bytes is not None and size + growth > self.max_bytes:
            return True
        seconds = 0.0 if self.interval is None else self.interval.total_seconds()
        return bool(seconds) and now // seconds != written_at // seconds


def closed_name(path: Path, now: float) -> Path:
    """Return what the file `path` is called when it is closed; names sort by time."""
    at = datetime.fromtimestamp(now, UTC)
    while True:
        closed = path.with_name(f"{path.stem}-{at:%Y%m%dT%H%M%S.%fZ}{path.suffix}")
        if not closed.exists() and not _compressed(closed).exists():
            return closed
        at += timedelta(microseconds=1)


def closed_files(path: Path) -> list[Path]:
    """Return the closed files of `path`, the oldest first, compressed or not."""
    found = {file for suffix in ("", _COMPRESSED) for file in path.parent.glob(f"{_glob(path)}{suffix}")}
    # Where a crash came between the two names, the compressed one is whole and the other its copy.
    return sorted(file for file in found if _compressed(file) not in found)


def compress(closed: Path) -> Path:
    """Compresses a closed file; returns its new path. A crash leaves the old file or the new one, whole."""
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
    """Yield the closed files that are still to be compressed, without what a crash left half done."""
    for part in path.parent.glob(f"{_glob(path)}{_COMPRESSED}{_PART}"):
        part.unlink()
    for closed in path.parent.glob(_glob(path)):
        if _compressed(closed).exists():
            closed.unlink()
        else:
            yield closed


def open_closed(path: Path) -> BinaryIO:
    """Opens a closed file for reading its lines."""
    if path.suffix == _COMPRESSED:
        return gzip.GzipFile(path, "rb")  # type: ignore[return-value]  # a BinaryIO in all but name
    return path.open("rb")


def _glob(path: Path) -> str:
    return f"{glob.escape(path.stem)}-????????T??????.??????Z{glob.escape(path.suffix)}"


def _compressed(closed: Path) -> Path:
    return closed.with_name(closed.name + _COMPRESSED)
