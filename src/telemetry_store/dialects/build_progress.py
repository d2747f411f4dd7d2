"""Reports the progress of an index build of PostgreSQL, and what it waits for."""

import contextlib
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

_REPORT_INTERVAL: Final = 2.0
_PROGRESS: Final = sa.text(
    "SELECT phase, blocks_done, blocks_total, current_locker_pid "
    "FROM pg_stat_progress_create_index WHERE pid = :pid AND datname = current_database()"
)


@contextmanager
def build_progress(connection: Connection, what: str, notify: Callable[[str], None]) -> Generator[None]:
    """Report the progress of the index build in the block every 2 s, from a separate session.

    Args:
        connection: The connection on which the block builds an index.
        what: The name of the build in reports.
        notify: Called with each report, in another thread.
    """
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    ended = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(connection.engine, pid, what, notify, ended), name="telemetry-progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(engine: Engine, pid: int, what: str, notify: Callable[[str], None], ended: threading.Event) -> None:
    # A failure to read the progress must not stop the build, and is not worth a report.
    with contextlib.suppress(SQLAlchemyError):
        while not ended.wait(_REPORT_INTERVAL):
            # Do not keep a transaction open in between: the build would wait for it.
            with engine.connect() as connection:
                row = connection.execute(_PROGRESS, {"pid": pid}).one_or_none()
            if row is not None:
                notify(f"{what}: {_in_words(*row)}")


def _in_words(phase: str, done: int | None, total: int | None, holder: int | None) -> str:
    if holder:
        return f"{phase}, for the transaction of process {holder}"
    return f"{phase}, {100 * (done or 0) // total} %" if total else phase
