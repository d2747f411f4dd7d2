"""Engines with the settings that durability needs."""

from datetime import timedelta

from sqlalchemy import URL, Engine

from telemetry_store.database_url import read_url
from telemetry_store.errors import UnsupportedDatabaseError


def create_database_engine(url: str | URL, *, timeout: timedelta | None = None) -> Engine:
    """Make an engine with the settings that durability needs.

    SQLite: WAL, `synchronous=FULL`, a busy timeout of 10 s, `BEGIN IMMEDIATE` for every write.
    PostgreSQL: the driver psycopg. A connection that broke while it was idle is replaced silently. Connecting to a
    server that does not reply times out after 10 s; on an open connection, a server that is gone is detected after a
    minute. Parameters in the URL, such as `?connect_timeout=5`, take precedence.

    Args:
        url: A SQLAlchemy URL; `postgres://` is read as `postgresql://`.
        timeout: How long to wait for each reply of PostgreSQL. None waits forever, as migrations of large tables need.

    Raises:
        UnsupportedDatabaseError: The URL is invalid, or its database, driver or kind of file is not supported.
    """
    read, dialect = read_url(url)
    return dialect.make_engine(read, timeout, {"hide_parameters": True})


def check_engine(engine: Engine) -> None:
    """Check that an engine works without an event loop.

    Raises:
        UnsupportedDatabaseError: It is an `AsyncEngine`, or its driver is only for asyncio, or it is not an engine.
    """
    if not isinstance(engine, Engine) or engine.dialect.is_async:
        kind = "an engine of an asyncio driver" if isinstance(engine, Engine) else type(engine).__name__
        raise UnsupportedDatabaseError(
            f"engine: must be a SQLAlchemy Engine of create_engine, not {kind}; in asyncio services use "
            "AsyncRecorder(Recorder.from_url(...)), which takes their AsyncConnection or AsyncSession as connection="
        )
