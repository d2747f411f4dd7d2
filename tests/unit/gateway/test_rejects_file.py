"""The file of rejected events after successful and interrupted writes, and on a full disk."""

import resource
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway import Reject, RejectsError, read_rejects
from telemetry_gateway.publishing.rejects import RejectsFile

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def reject(event_id: str) -> Reject:
    return Reject(NOW, "why", "unlicensed:i", pb.RecordEventsRequestMetadata(), pb.Event(id=event_id))


def kept(path: Path) -> list[str]:
    return [each.event.id for each in read_rejects(path)]


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Simulate a full disk: the kernel accepts a part of a write, then fails."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


def test_events_rejected_after_a_full_disk_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    file = RejectsFile(path, 1_000_000)
    file.add([reject("a")])
    with no_file_larger_than(path.stat().st_size + 20), pytest.raises(RejectsError, match="cannot be written"):
        file.add([reject("b")])
    file.add([reject("b")])  # it was not acknowledged, so the exporter sends it again
    assert kept(path) == ["a", "b"]


def test_events_rejected_after_an_incomplete_line_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    RejectsFile(path, 1_000_000).add([reject("a")])
    with path.open("ab") as torn:
        torn.write(b'{"at":"2026-')
    RejectsFile(path, 1_000_000).add([reject("b")])
    RejectsFile(path, 1_000_000).add([reject("c")])
    assert kept(path) == ["a", "b", "c"]


def test_rejected_events_with_large_metadata_are_written_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    metadata = pb.RecordEventsRequestMetadata(request_id="x" * 16_000)
    tracemalloc.start()
    try:
        RejectsFile(path, 1_000_000_000).add(
            Reject(NOW, "why", "unlicensed:i", metadata, pb.Event(id=str(number))) for number in range(1_000)
        )
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 20_000_000
    assert most < 5_000_000
    assert len(kept(path)) == 1_000


def test_a_file_above_its_size_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    file = RejectsFile(path, 250)
    for name in "abcd":
        file.add([reject(name)])
    assert kept(path)[-2:] == ["c", "d"]
    assert path.with_name("rejects.jsonl.1").exists()
