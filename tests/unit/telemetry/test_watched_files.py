"""Files are read again after they change."""

import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from telemetry_runtime.watched_files import WatchedFiles


class Numbers:
    """Reads a file, and knows how often it did."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reads = 0

    def __call__(self) -> int:
        self.reads += 1
        return number(self._path)


def number(path: Path) -> int:
    text = path.read_text()
    if not text.isdecimal():
        raise ValueError("must be a number")
    return int(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    return path


def replace(path: Path, text: str) -> None:
    """Replace a file atomically, so that a reader never sees a part of it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_file_is_read_once_until_it_changes(file: Path) -> None:
    numbers = Numbers(file)
    watched = WatchedFiles([file], numbers)
    assert [watched.content() for _ in range(3)] == [1, 1, 1]
    assert numbers.reads == 1
    replace(file, "2")
    with capture_logs() as logs:
        assert [watched.content() for _ in range(3)] == [2, 2, 2]
    assert numbers.reads == 2
    assert [(line["event"], line["files"]) for line in logs] == [("changed file read again", str(file))]


def test_a_file_of_the_same_size_written_in_place_is_seen(file: Path) -> None:
    watched = WatchedFiles([file], lambda: number(file))
    file.write_text("2")
    os.utime(file, ns=(0, 0))
    assert watched.content() == 2


def test_a_link_that_points_elsewhere_is_seen(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.write_text("2")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    link = tmp_path / "link"  # as Kubernetes keeps a secret
    link.symlink_to(file)
    watched = WatchedFiles([link], lambda: number(link))
    link.unlink()
    link.symlink_to(other)
    assert watched.content() == 2


@pytest.mark.parametrize("gone", [False, True])
def test_what_cannot_be_used_is_said_once_and_the_former_version_holds(file: Path, gone: bool) -> None:
    watched = WatchedFiles([file], lambda: number(file))
    if gone:
        file.unlink()
    else:
        replace(file, "SECRET")
    with capture_logs() as logs:
        assert [watched.content() for _ in range(3)] == [1, 1, 1]
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("changed file rejected, previous content stays in use", "error")
    assert (str(file) in line["problem"]) if gone else (line["problem"] == "must be a number")
    replace(file, "3")
    assert watched.content() == 3


def test_files_that_belong_together_are_read_together(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.write_text("1")

    def pair() -> int:
        if number(file) != number(other):
            raise ValueError("must be equal")
        return number(file)

    watched = WatchedFiles([file, other], pair)
    replace(file, "2")
    with capture_logs() as logs:
        assert watched.content() == 1
        replace(other, "2")
        assert watched.content() == 2
    assert [line["log_level"] for line in logs] == ["error", "info"]
    assert logs[0]["files"] == f"{file}, {other}"


def test_what_cannot_be_used_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WatchedFiles([tmp_path / "none"], lambda: number(tmp_path / "none"))


def test_a_change_while_the_file_is_read_is_seen_at_the_next_call(file: Path) -> None:
    watched: WatchedFiles[int]

    def read() -> int:
        found = number(file)
        if found == 2:
            replace(file, "3")
        return found

    watched = WatchedFiles([file], read)
    replace(file, "2")
    assert [watched.content(), watched.content()] == [2, 3]


def test_of_threads_that_read_at_once_a_slow_one_does_not_keep_an_old_version(file: Path) -> None:
    slow_has_read, may_go = threading.Event(), threading.Event()

    def read() -> int:
        found = number(file)
        if threading.current_thread().name == "slow":
            slow_has_read.set()
            may_go.wait(10)
        return found

    watched = WatchedFiles([file], read)
    slow = threading.Thread(target=watched.content, name="slow")
    replace(file, "2")
    slow.start()
    assert slow_has_read.wait(10)
    replace(file, "33")
    assert watched.content() == 33
    may_go.set()
    slow.join(10)
    assert watched.content() == 33
