"""The file of rejected events: what is on the disk after a good write, a torn one, a full disk."""

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
    """A disk that is full: the kernel takes a part of a write, then no more."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_was_full_costs_none_of_the_rejects_that_come_after(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    file = RejectsFile(path, 1_000_000)
    file.add([reject("a")])
    with no_file_larger_than(path.stat().st_size + 20), pytest.raises(RejectsError, match="cannot be written"):
        file.add([reject("b")])
    file.add([reject("b")])  # it was not acknowledged, so it comes again
    assert kept(path) == ["a", "b"]


def test_a_line_that_a_kill_tore_costs_none_of_the_rejects_that_come_after(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    RejectsFile(path, 1_000_000).add([reject("a")])
    with path.open("ab") as torn:
        torn.write(b'{"at":"2026-')
    RejectsFile(path, 1_000_000).add([reject("b")])
    RejectsFile(path, 1_000_000).add([reject("c")])
    assert kept(path) == ["a", "b", "c"]


def test_many_rejects_of_a_stream_with_much_to_say_of_itself_are_not_held_in_memory_at_once(tmp_path: Path) -> None:
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


def test_past_its_size_it_is_put_aside_whole(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    file = RejectsFile(path, 250)
    for name in "abcd":
        file.add([reject(name)])
    assert kept(path)[-2:] == ["c", "d"]
    assert path.with_name("rejects.jsonl.1").exists()
