"""Engines with the settings that durability needs."""

from datetime import timedelta

from sqlalchemy import URL, Engine

from telemetry_store.database_url import read_url
from telemetry_store.errors import UnsupportedDatabaseError


def create_database_engine(url: str | URL, *, timeout: timedelta | None = None) -> Engine:
    """Makes an engine with the settings that durability needs.

    SQLite: WAL, `synchronous=FULL`, a busy timeout of 10 s, `BEGIN IMMEDIATE` for every write.
    PostgreSQL: the driver psycopg; a connection that died while it was idle is replaced unseen, and a server that
    vanished is given up after 10 s at a connection's begin, after a minute later. The URL's own `?connect_timeout=5`
    and so on win.

    Args:
        url: A SQLAlchemy URL; `postgres://` is read as `postgresql://`.
        timeout: How long one answer of PostgreSQL is waited for; None: forever, as migrations of large tables do.

    Raises:
        UnsupportedDatabaseError: The URL cannot be read, or names a database, a driver or a
            kind of file that the recorder cannot write to.
    """
    read, dialect = read_url(url)
    return dialect.make_engine(read, timeout, {"hide_parameters": True})


def check_engine(engine: Engine) -> None:
    """Check that an engine can be used without an event loop.

    Raises:
        UnsupportedDatabaseError: It is an `AsyncEngine`, or its driver is for asyncio alone, or it is not an engine.
    """
    if not isinstance(engine, Engine) or engine.dialect.is_async:
        kind = "an engine of an asyncio driver" if isinstance(engine, Engine) else type(engine).__name__
        raise UnsupportedDatabaseError(
            f"engine: must be a SQLAlchemy Engine of create_engine, not {kind}; in asyncio services use "
            "AsyncRecorder(Recorder.from_url(...)), which takes their AsyncConnection or AsyncSession as connection="
        )
