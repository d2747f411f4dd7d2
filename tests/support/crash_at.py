"""Run a program that kills itself at a named point: `python crash_at.py POINT TIMES (-m MODULE | FILE) ARGUMENTS`.

The program is not changed: the method at the named point is wrapped from outside.
"""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any


class Countdown:
    """Kills this process when the point has been reached a number of times."""

    def __init__(self, times: int) -> None:
        self._left = times

    def is_last(self) -> bool:
        self._left -= 1
        return self._left == 0

    def reached(self) -> None:
        if self.is_last():
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(
    owner: Any, name: str, countdown: Countdown, where: str, *, when: Callable[..., bool] = lambda *_: True
) -> None:
    """Count calls of a method, `before` or `after` the call; after it, the result precedes the arguments."""
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if where == "before" and when(*arguments):
            countdown.reached()
        result = original(*arguments, **named)
        if where == "after" and when(result, *arguments):
            countdown.reached()
        return result

    setattr(owner, name, wrapped)


def before_the_transaction(countdown: Countdown) -> None:
    from telemetry_store.database import Database

    wrap(Database, "write_held", countdown, "before")


class _Cursor:
    """A driver's cursor that ends the process after the insert into the queue, before that into `event_logs`."""

    def __init__(self, cursor: Any, countdown: Countdown) -> None:
        self._cursor = cursor
        self._countdown = countdown

    def __getattr__(self, name: str) -> Any:
        wanted = getattr(self._cursor, name)
        if name not in ("execute", "executemany", "copy"):
            return wanted

        def call(statement: str, *arguments: Any) -> Any:
            if statement.startswith(("INSERT INTO event_logs", "COPY event_logs")):
                self._countdown.reached()
            return wanted(statement, *arguments)

        return call


def between_both_rows(countdown: Countdown) -> None:
    from telemetry_store.event_inserts import EventInserts

    original = EventInserts.insert

    def insert(inserts: EventInserts, cursor: Any, rows: Any) -> None:
        original(inserts, _Cursor(cursor, countdown), rows)

    EventInserts.insert = insert  # type: ignore[assignment,method-assign]


def before_the_commit(countdown: Countdown) -> None:
    from telemetry_store.event_inserts import EventInserts

    # On PostgreSQL one event is one statement, which is already committed.
    wrap(EventInserts, "insert", countdown, "after")


def after_the_commit(countdown: Countdown) -> None:
    from telemetry_store.database import Database

    wrap(Database, "write_held", countdown, "after")


def after_the_lease(countdown: Countdown) -> None:
    from telemetry_store.export_queue import ExportQueue

    wrap(ExportQueue, "lease", countdown, "after", when=lambda lease, *_: bool(lease.events))


def before_a_stream(countdown: Countdown) -> None:
    from export.delivery import Courier

    wrap(Courier, "send", countdown, "before")


def in_the_middle_of_sending(countdown: Countdown) -> None:
    from export.delivery import _Requests

    wrap(_Requests, "_next", countdown, "after", when=lambda request, *_: request is not None)


def acknowledged_and_not_marked(countdown: Countdown) -> None:
    from telemetry_store.export_queue import ExportQueue

    wrap(ExportQueue, "mark_exported", countdown, "before")


def after_the_mark(countdown: Countdown) -> None:
    from telemetry_store.export_queue import ExportQueue

    wrap(ExportQueue, "mark_exported", countdown, "after")


def cleaned_and_not_counted(countdown: Countdown) -> None:
    from sqlalchemy import Connection

    def counts(_connection: Any, statement: str, *_: Any) -> bool:
        return statement.lstrip().startswith("INSERT INTO telemetry_export_ledger")

    wrap(Connection, "exec_driver_sql", countdown, "before", when=counts)


def before_publishing(countdown: Countdown) -> None:
    from telemetry_gateway import JsonlSink

    wrap(JsonlSink, "publish", countdown, "before")


class _Os:
    """A replacement of `os` in the sink, with another `write`."""

    def __init__(self, write: Callable[[int, Any], int]) -> None:
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def in_the_middle_of_a_line(countdown: Countdown) -> None:
    from telemetry_gateway.sinks import jsonl

    def write(file: int, data: Any) -> int:
        if countdown.is_last():
            os.write(file, data[: max(1, len(data) - 20)])
            die()
        return os.write(file, data)

    jsonl.os = _Os(write)  # type: ignore[assignment,attr-defined]


def written_and_not_synced(countdown: Countdown) -> None:
    from telemetry_gateway.sinks import jsonl

    def write(file: int, data: Any) -> int:
        written = os.write(file, data)
        countdown.reached()
        return written

    jsonl.os = _Os(write)  # type: ignore[assignment,attr-defined]


def published_and_not_remembered(countdown: Countdown) -> None:
    from telemetry_gateway.publishing.publishing_queue import PublishingQueue

    wrap(PublishingQueue, "_remember", countdown, "before")


def remembered_and_not_acknowledged(countdown: Countdown) -> None:
    from telemetry_gateway.publishing.publishing_queue import PublishingQueue

    wrap(PublishingQueue, "_write", countdown, "after")


def renamed_and_not_opened(countdown: Countdown) -> None:
    from telemetry_gateway import JsonlSink

    original: Any = JsonlSink._rotate

    def rotate(sink: Any, now: float) -> None:
        wrap(JsonlSink, "_open", countdown, "before")  # not earlier, because the start opens the file, too
        original(sink, now)

    JsonlSink._rotate = rotate  # type: ignore[assignment,method-assign]


def compressed_and_still_there(countdown: Countdown) -> None:
    from telemetry_gateway.sinks import rotation

    wrap(rotation, "sync_directory", countdown, "before")


_POINTS: dict[str, tuple[Callable[[Countdown], None], ...]] = {
    "recorder": (before_the_transaction, between_both_rows, before_the_commit, after_the_commit),
    "exporter": (
        after_the_lease,
        before_a_stream,
        in_the_middle_of_sending,
        acknowledged_and_not_marked,
        after_the_mark,
        cleaned_and_not_counted,
    ),
    "gateway": (
        before_publishing,
        in_the_middle_of_a_line,
        written_and_not_synced,
        published_and_not_remembered,
        remembered_and_not_acknowledged,
        renamed_and_not_opened,
        compressed_and_still_there,
    ),
}
POINTS: dict[str, tuple[str, ...]] = {kind: tuple(each.__name__ for each in all_) for kind, all_ in _POINTS.items()}
"""The named points for each kind of process."""


def main(point: str, times: str, *program: str) -> None:
    by_name = {each.__name__: each for points in _POINTS.values() for each in points}
    by_name[point](Countdown(int(times)))
    if program[0] == "-m":
        sys.argv = list(program[1:])
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(program)
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
