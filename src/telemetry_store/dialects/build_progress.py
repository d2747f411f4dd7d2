"""Tells how far PostgreSQL is with building an index, and what it waits for."""

import contextlib
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

_TOLD_EVERY: Final = 2.0
_PROGRESS: Final = sa.text(
    "SELECT phase, blocks_done, blocks_total, current_locker_pid "
    "FROM pg_stat_progress_create_index WHERE pid = :pid AND datname = current_database()"
)


@contextmanager
def build_progress(connection: Connection, what: str, tell: Callable[[str], None]) -> Generator[None]:
    """Tells every 2 s, from a session of its own, what the build in the block is doing.

    Args:
        connection: Where the block builds an index.
        what: What to call it.
        tell: Told in words; called in another thread.
    """
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    ended = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(connection.engine, pid, what, tell, ended), name="telemetry-progress", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(engine: Engine, pid: int, what: str, tell: Callable[[str], None], ended: threading.Event) -> None:
    # Whoever cannot be told of the progress need not be told that.
    with contextlib.suppress(SQLAlchemyError):
        while not ended.wait(_TOLD_EVERY):
            # No transaction stays open in between: the build would wait for it.
            with engine.connect() as connection:
                row = connection.execute(_PROGRESS, {"pid": pid}).one_or_none()
            if row is not None:
                tell(f"{what}: {_in_words(*row)}")


def _in_words(phase: str, done: int | None, total: int | None, holder: int | None) -> str:
    if holder:
        return f"{phase}, for the transaction of process {holder}"
    return f"{phase}, {100 * (done or 0) // total} %" if total else phase
