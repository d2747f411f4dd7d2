"""The sink `jsonl`: the file after successful and failed writes, crashes and rotation."""

import errno
import gzip
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_gateway import JsonlSink, Message, Rotation, SinkError
from telemetry_gateway.sinks.rotation import closed_files

NOON = 1_760_011_200.0  # 2025-10-09T12:00:00Z
LIMIT = 1024 * 1024


def message(event_id: str, padding: int = 0) -> Message:
    body = {
        "metadata": {"requestId": "r", "identifier": {"unlicensedInstance": {"instanceId": "i"}}},
        "event": {"id": event_id, "padding": "x" * padding},
    }
    return Message("unlicensed:i", event_id, {"event.feature": "f"}, json.dumps(body).encode())


def key(event_id: str) -> tuple[str, str]:
    return ("unlicensed:i", event_id)


def ids(path: Path) -> list[str]:
    return [json.loads(line)["message"]["event"]["id"] for line in path.read_bytes().splitlines()]


def keys(sink: JsonlSink, position: str = "", not_before: float = 0) -> list[tuple[str, str]]:
    return list(sink.published_since(position, not_before))


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


class Disk:
    """A sync function that counts calls, and can be set to fail."""

    def __init__(self) -> None:
        self.synced = 0
        self.failing = False

    def __call__(self, file: int) -> None:
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(file)
        self.synced += 1


def test_a_group_is_synced_once(tmp_path: Path) -> None:
    disk = Disk()
    sink = JsonlSink(tmp_path / "e.jsonl", LIMIT, sync=disk)
    before = disk.synced

    sink.publish([message("a"), message("b")])

    assert disk.synced == before + 1
    assert ids(tmp_path / "e.jsonl") == ["a", "b"]
    sink.close()


def test_keys_since_a_position(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "e.jsonl", LIMIT)
    sink.publish([message("a")])
    position = sink.position
    sink.publish([message("b")])

    assert keys(sink, position) == [key("b")]
    assert keys(sink) == keys(sink, "1:0") == keys(sink, "nonsense") == [key("a"), key("b")]
    assert keys(sink, f"{position}0") == [key("a"), key("b")]  # beyond the end, so the position is of another file
    assert keys(sink, not_before=4e9) == []
    sink.close()


@given(torn=st.binary(max_size=200).filter(lambda data: b"\n" not in data), whole=st.integers(0, 3))
def test_an_incomplete_last_line_is_removed(tmp_path_factory: pytest.TempPathFactory, torn: bytes, whole: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "e.jsonl"
    first = JsonlSink(path, LIMIT)
    first.publish([message(str(number)) for number in range(whole)])
    first.close()
    with path.open("ab") as file:
        file.write(torn)

    sink = JsonlSink(path, LIMIT)
    sink.publish([message("after")])

    assert ids(path) == [*map(str, range(whole)), "after"]
    assert keys(sink) == [*(key(str(number)) for number in range(whole)), key("after")]
    sink.close()


def test_an_incomplete_line_longer_than_a_block_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'{"x": 1}\n' + b"y" * 200_000)

    JsonlSink(path, LIMIT).close()

    assert path.read_bytes() == b'{"x": 1}\n'


def test_lines_of_other_programs_are_kept_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'not json\n{"message": {}}\n[]\n')
    sink = JsonlSink(path, LIMIT)

    sink.publish([message("a")])

    assert keys(sink) == [key("a")]
    assert path.read_bytes().startswith(b"not json\n")
    sink.close()


@pytest.mark.parametrize(
    ("identifier", "publisher"),
    [
        ({"managedService": {"serviceId": "s"}}, "service:s"),
        ({"licensedInstance": {"licenseKey": "k"}}, "licensed:8254c329a92850f6:"),
    ],
)
def test_keys_of_every_kind_of_publisher(tmp_path: Path, identifier: object, publisher: str) -> None:
    sink = JsonlSink(tmp_path / "e.jsonl", LIMIT)
    body = json.dumps({"metadata": {"identifier": identifier}, "event": {"id": "a"}}).encode()

    sink.publish([Message("whoever", "a", {}, body)])

    assert keys(sink) == [(publisher, "a")]
    sink.close()


def test_a_failed_sync_removes_the_lines_and_breaks_the_sink(tmp_path: Path) -> None:
    disk = Disk()
    sink = JsonlSink(tmp_path / "e.jsonl", LIMIT, sync=disk)
    sink.publish([message("a")])
    disk.failing = True
    with pytest.raises(SinkError, match="cannot be synced: Input/output error"):
        sink.publish([message("b")])
    disk.failing = False

    with pytest.raises(SinkError, match="could not be written before"):
        sink.publish([message("b")])

    assert ids(tmp_path / "e.jsonl") == ["a"]
    sink.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "e.jsonl", LIMIT)
    real, full = sink._file, os.open("/dev/full", os.O_RDWR)
    sink._file = full

    with pytest.raises(SinkError, match="cannot be written: No space left on device"):
        sink.publish([message("a")])

    # A device cannot be truncated, so its content is unknown.
    with pytest.raises(SinkError, match="could not be written before"):
        sink.publish([message("a")])
    os.close(full)
    sink._file = real
    sink.close()


def test_a_second_gateway_cannot_open_the_file(tmp_path: Path) -> None:
    first = JsonlSink(tmp_path / "e.jsonl", LIMIT)
    with pytest.raises(SinkError, match="another gateway writes to it"):
        JsonlSink(tmp_path / "e.jsonl", LIMIT)
    first.close()

    JsonlSink(tmp_path / "e.jsonl", LIMIT).close()


def test_an_invalid_path_is_reported(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").mkdir()
    with pytest.raises(SinkError, match="cannot be opened for writing: Is a directory"):
        JsonlSink(tmp_path / "e.jsonl", LIMIT)
    with pytest.raises(SinkError, match="cannot be opened for writing: No such file"):
        JsonlSink(tmp_path / "none" / "e.jsonl", LIMIT)


def _no_more_files(_: Path) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class TestRotation:
    def _sink(self, path: Path, rotation: Rotation, clock: Callable[[], float]) -> JsonlSink:
        return JsonlSink(path, LIMIT, rotation=rotation, clock=clock)

    def test_by_size(self, tmp_path: Path) -> None:
        path = tmp_path / "e.jsonl"
        sink = self._sink(path, Rotation(max_bytes=500), Clock())

        for name in "abcdef":
            sink.publish([message(name, 100)])

        files = [*closed_files(path), path]
        assert [name for file in files for name in ids(file)] == list("abcdef")
        assert all(file.stat().st_size <= 500 for file in files)
        assert files[0].name == "e-20251009T120000.000000Z.jsonl"
        assert files[1].name == "e-20251009T120000.000001Z.jsonl"
        sink.close()

    def test_the_old_file_stays_in_use_if_the_new_one_cannot_be_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "e.jsonl"
        sink = self._sink(path, Rotation(max_bytes=300), Clock())
        sink.publish([message("a", padding=200)])
        with monkeypatch.context() as patch:
            patch.setattr("telemetry_gateway.sinks.jsonl.sync_directory", _no_more_files)
            with pytest.raises(SinkError, match="cannot be written: Too many open files"):
                sink.publish([message("b", padding=200)])
        assert (ids(path), closed_files(path)) == (["a"], [])
        sink.publish([message("b", padding=200)])  # the sink is not broken, because no write has failed
        (closed,) = closed_files(path)
        assert (ids(closed), ids(path)) == (["a"], ["b"])
        sink.close()

    def test_a_group_larger_than_the_size_gets_a_separate_file(self, tmp_path: Path) -> None:
        sink = self._sink(tmp_path / "e.jsonl", Rotation(max_bytes=100), Clock())

        sink.publish([message("a", 500)])
        sink.publish([message("b", 500)])

        assert ids(tmp_path / "e.jsonl") == ["b"]
        sink.close()

    def test_by_time(self, tmp_path: Path) -> None:
        path, clock = tmp_path / "e.jsonl", Clock()
        sink = self._sink(path, Rotation(interval=timedelta(hours=1)), clock)
        for name, seconds in (("a", 0), ("b", 3599), ("c", 1), ("d", 7200)):
            clock.now += seconds
            sink.publish([message(name)])

        assert [ids(file) for file in [*closed_files(path), path]] == [["a", "b"], ["c"], ["d"]]
        sink.close()

    def test_a_file_of_an_earlier_run_is_closed_too(self, tmp_path: Path) -> None:
        path, clock = tmp_path / "e.jsonl", Clock()
        first = JsonlSink(path, LIMIT)
        first.publish([message("a")])
        first.close()
        os.utime(path, (NOON, NOON))
        clock.now += 3600

        sink = self._sink(path, Rotation(interval=timedelta(hours=1)), clock)
        sink.publish([message("b")])

        assert [ids(file) for file in [*closed_files(path), path]] == [["a"], ["b"]]
        sink.close()

    def test_keys_across_files(self, tmp_path: Path) -> None:
        sink = self._sink(tmp_path / "e.jsonl", Rotation(max_bytes=300), Clock())
        sink.publish([message("a")])
        position = sink.position
        for name in "bcd":
            sink.publish([message(name, 200)])

        assert keys(sink, position) == [key("b"), key("c"), key("d")]
        assert keys(sink) == [key("a"), key("b"), key("c"), key("d")]
        sink.close()

    def test_closed_files_are_compressed_and_still_read(self, tmp_path: Path) -> None:
        path = tmp_path / "e.jsonl"
        sink = self._sink(path, Rotation(max_bytes=300, compress=True), Clock())
        for name in "abc":
            sink.publish([message(name, 200)])
        sink.close()

        files = closed_files(path)
        assert [file.suffix for file in files] == [".gz", ".gz"]
        assert b'"id": "a"' in gzip.decompress(files[0].read_bytes())
        again = self._sink(path, Rotation(), Clock())
        assert keys(again) == [key("a"), key("b"), key("c")]
        again.close()

    def test_compression_interrupted_by_a_crash_is_completed(self, tmp_path: Path) -> None:
        path = tmp_path / "e.jsonl"
        first = self._sink(path, Rotation(max_bytes=300), Clock())
        for name in "abc":
            first.publish([message(name, 200)])
        first.close()
        half, done = closed_files(path)
        half.with_name(half.name + ".gz.part").write_bytes(b"half of it")
        done.with_name(done.name + ".gz").write_bytes(gzip.compress(done.read_bytes()))
        assert len(closed_files(path)) == 2

        sink = self._sink(path, Rotation(compress=True), Clock())
        assert keys(sink) == [key("a"), key("b"), key("c")]
        sink.publish([message("d")])
        sink.close()

        assert sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("e-")) == [
            "e-20251009T120000.000000Z.jsonl.gz",
            "e-20251009T120000.000001Z.jsonl.gz",
        ]
        again = self._sink(path, Rotation(), Clock())
        assert keys(again) == [key("a"), key("b"), key("c"), key("d")]
        again.close()

    def test_a_truncated_compressed_file_is_reported(self, tmp_path: Path) -> None:
        path = tmp_path / "e.jsonl"
        sink = self._sink(path, Rotation(max_bytes=300, compress=True), Clock())
        for name in "ab":
            sink.publish([message(name, 200)])
        sink.close()
        (packed,) = closed_files(path)
        packed.write_bytes(packed.read_bytes()[:-10])

        again = self._sink(path, Rotation(), Clock())
        with pytest.raises(SinkError, match="cannot be read: "):
            keys(again)
        again.close()

    def test_a_file_name_with_glob_characters(self, tmp_path: Path) -> None:
        path = tmp_path / "e[1]*.jsonl"
        sink = self._sink(path, Rotation(max_bytes=300), Clock())
        for name in "ab":
            sink.publish([message(name, 200)])

        assert keys(sink) == [key("a"), key("b")]
        sink.close()

    def test_a_file_that_cannot_be_compressed_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "e.jsonl"
        blocked = tmp_path / "e-20251009T120000.000000Z.jsonl.gz.part"
        sink = self._sink(path, Rotation(max_bytes=300, compress=True), Clock())
        blocked.mkdir()
        for name in "ab":
            sink.publish([message(name, 200)])
        sink.close()

        assert [ids(file) for file in closed_files(path)] == [["a"]]
        again = self._sink(path, Rotation(compress=True), Clock())  # a leftover that cannot be removed
        again.publish([message("c")])
        again.close()
        assert ids(path) == ["b", "c"]

    def test_leftovers_and_a_rotation_at_the_same_start(self, tmp_path: Path) -> None:
        path = tmp_path / "e.jsonl"
        first = self._sink(path, Rotation(), Clock())
        first.publish([message("a", 200)])
        first.close()

        sink = self._sink(path, Rotation(max_bytes=300, compress=True), Clock())
        sink.publish([message("b", 200)])
        sink.close()

        assert [file.suffix for file in closed_files(path)] == [".gz"]
        assert ids(path) == ["b"]

    @given(
        size=st.integers(0, 10_000),
        growth=st.integers(1, 10_000),
        limit=st.none() | st.integers(1, 10_000),
        hours=st.none() | st.integers(1, 48),
        age=st.integers(0, 200_000),
    )
    def test_when_it_is_due(self, size: int, growth: int, limit: int | None, hours: int | None, age: int) -> None:
        interval = None if hours is None else timedelta(hours=hours)
        due = Rotation(limit, interval).is_due(size, growth, NOON, NOON + age)

        for_size = limit is not None and size + growth > limit
        for_age = hours is not None and (NOON + age) // (hours * 3600) != NOON // (hours * 3600)
        assert due == (size > 0 and (for_size or for_age))
