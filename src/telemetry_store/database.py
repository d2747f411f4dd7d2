"""Engines and their settings, one per process; transactions whose errors say nothing private."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    String,
    Table,
    TypeDecorator,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from telemetry_runtime.forks import Forkable
from telemetry_store.errors import SchemaVersionError, UnsupportedDatabaseError, database_failure
from telemetry_store.held_connection import HeldConnection
from telemetry_store.liveness import has_word

SCHEMA_VERSION: Final = "0002"
"""The migration that this code's tables are made by."""

VERSION_TABLE: Final = "telemetry_alembic_version"
"""Keeps our version apart from that of a host that uses Alembic in the same database."""

BUSY_TIMEOUT_SECONDS: Final = 10

WAL_BYTES: Final = 16 * 1024 * 1024
"""SQLite's write-ahead log shrinks to this; in daily use it has 4 MiB."""

_OLDEST_SQLITE: Final = (3, 35, 0)

_PATIENCE: Final = {
    "connect_timeout": 10,
    # A server that vanished without a word is given up after a minute, not after the kernel's quarter of an hour.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""How libpq waits, in seconds (the last one: milliseconds), where the URL does not say otherwise."""

metadata = MetaData()
"""The tables of this package; each is defined beside the statements that use it."""

schema_compatibility = Table(
    "telemetry_schema_compatibility", metadata, Column("oldest_code", String(32), primary_key=True)
)
"""One row: the oldest code version that may still use the database.

A migration that only adds leaves it as it is, so that processes of the former release go on, and new
ones of it start, while a rolling deploy lasts. One that takes something away sets it first.
"""

T = TypeVar("T")

# BEGIN IMMEDIATE takes the write lock at once: a transaction that reads first and writes later
# could otherwise fail at the write, however long it would wait.
_READ_ONLY = "telemetry_read_only"


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time; always has the time zone UTC in Python, on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Stores UTC; SQLite, which knows no time zones, stores it without one."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Returns UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def create_database_engine(url: str | URL, *, timeout: timedelta | None = None) -> Engine:
    """Makes an engine with the settings that durability needs.

    SQLite: WAL, `synchronous=FULL`, a busy timeout of 10 s, `BEGIN IMMEDIATE` for every write.
    PostgreSQL: the driver psycopg; a connection that died while it was idle is replaced unseen, and a server that
    vanished is given up after 10 s at a connection's begin, after a minute later. The URL's own `?connect_timeout=5`
    and so on win.

    Args:
        url: A SQLAlchemy URL.
        timeout: How long one answer of PostgreSQL is waited for; None: for ever, as migrations of large tables do.

    Raises:
        UnsupportedDatabaseError: The URL cannot be read, or names a database, a driver or a
            kind of file that the recorder cannot write to.
    """
    checked = _check_url(url)
    options: dict[str, Any] = {"hide_parameters": True}
    if checked.get_backend_name() == "sqlite":
        engine = create_engine(checked, poolclass=QueuePool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **options)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        given = {name: value for name, value in _PATIENCE.items() if name not in checked.query}
        engine = create_engine(checked, connect_args=given, **options)
        event.listen(engine, "checkout", _refuse_dead_connection)
        if timeout is not None:
            from telemetry_store.bounded_connection import connecting  # noqa: PLC0415 - imports the optional psycopg

            event.listen(engine, "do_connect", connecting(timeout))
    return engine


def _check_url(url: str | URL) -> URL:
    try:
        checked = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        checked = None
    if checked is None:
        # The URL may hold a password, so it is not repeated.
        raise UnsupportedDatabaseError("the database URL is not of the form sqlite:///FILE or postgresql://HOST/NAME")
    if checked.drivername == "postgresql":
        checked = checked.set(drivername="postgresql+psycopg")
    check_driver(checked)
    if checked.get_backend_name() == "sqlite" and sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise UnsupportedDatabaseError(
            f"this Python's SQLite is {sqlite3.sqlite_version}; 3.35 or later is needed, for RETURNING"
        )
    if checked.get_backend_name() == "sqlite" and (not checked.database or ":memory:" in checked.database):
        raise UnsupportedDatabaseError("an in-memory SQLite database would lose what is recorded; name a file")
    return checked


def check_driver(url: URL) -> None:
    """Checks that the recorder can write through this kind of URL.

    Raises:
        UnsupportedDatabaseError: It is neither SQLite nor PostgreSQL with psycopg, or the driver is not installed.
    """
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise UnsupportedDatabaseError(f"{backend} is not supported; use SQLite or PostgreSQL")
    try:
        driver = url.get_driver_name()
    except NoSuchModuleError:
        driver = "unknown"
    if backend == "postgresql":
        if driver not in ("psycopg", "psycopg_async"):
            raise UnsupportedDatabaseError(f"the driver {driver} is not supported; use postgresql+psycopg://")
        try:
            import psycopg  # noqa: F401, PLC0415 - an optional dependency
        except ImportError:
            missing = True
        else:
            missing = False
        if missing:
            raise UnsupportedDatabaseError("psycopg is not installed: pip install 'telemetry-recorder[postgres]'")


def _set_up_sqlite(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # the driver begins nothing by itself; _begin_sqlite does
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    # What a long reader made the log grow to is given back once the reader is gone.
    cursor.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _refuse_dead_connection(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    if has_word(dbapi_connection.fileno()):
        raise DisconnectionError


class Database(Forkable):
    """An engine as the recorder and the queue use it.

    Args:
        engine: Made by `create_database_engine`, or the host's own. A host's engine keeps the
            host's settings.

    Raises:
        UnsupportedDatabaseError: The engine's database or driver cannot be written to.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        check_driver(engine.url)
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.driver_errors: tuple[type[Exception], ...] = (SQLAlchemyError, _driver_error(engine))
        self._reading = engine.execution_options(**{_READ_ONLY: True})
        self._snapshot = (
            self._reading  # SQLite's transactions see one moment anyway
            if self.is_sqlite
            else engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )
        self._version_checked = False
        self._held = HeldConnection(engine)

    @property
    def missing_file(self) -> Path | None:
        """SQLite's file where it is not there, which a connection would make; None where it is, or there is none."""
        url = self.engine.url
        # SQLite's own kind of URI says what it may make, and a host may keep its database in memory.
        if not self.is_sqlite or url.query or not url.database or ":memory:" in url.database:
            return None
        file = Path(url.database)
        return None if file.exists() else file

    def run(self, work: Callable[[], T]) -> T:
        """Runs `work`, turning a driver's error into one of ours.

        Raises:
            RecorderError: The database failed; nothing was stored.
        """
        try:
            return work()
        except self.driver_errors as error:
            failure = database_failure(error)
        # Raised outside the handler, so that not even `__context__` leads to the driver's text.
        raise failure

    def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction that does not write."""

        def reading() -> T:
            with self._reading.begin() as connection:
                return work(connection)

        return self._on_current_schema(reading)

    def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction that does not write, all of whose statements see one moment.

        Writers go on meanwhile.
        """

        def reading() -> T:
            with self._snapshot.begin() as connection:
                return work(connection)

        return self._on_current_schema(reading)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction of its own, committed when it returns."""

        def writing() -> T:
            with self.engine.begin() as connection:
                return work(connection)

        return self._on_current_schema(writing)

    def write_held(self, work: Callable[[Any], T], *, one_statement: bool = False) -> T:
        """Runs `work` with the driver's own connection, which this process keeps for writing events.

        Args:
            work: What to run, in a transaction that is committed when it returns.
            one_statement: It executes one statement, which is a transaction by itself.
        """
        run = self._held.statement if one_statement else self._held.transaction
        return self._on_current_schema(lambda: run(work))

    def _on_current_schema(self, work: Callable[[], T]) -> T:
        if not self._version_checked:
            check_schema_version(self)
            self._version_checked = True
        return self.run(work)

    def to_driver(self, moment: datetime) -> Any:
        """Returns a point in time as the driver takes it, in the form that SQLAlchemy stores."""
        utc = moment.astimezone(UTC)
        return utc.replace(tzinfo=None).isoformat(" ", "microseconds") if self.is_sqlite else utc

    def from_driver(self, value: Any) -> datetime | None:
        """Returns a point in time from what the driver gave."""
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def close(self) -> None:
        """Closes the connections that this process holds."""
        self._held.close()
        self.engine.dispose()

    def after_fork_in_child(self) -> None:
        """Leaves the parent's connections to the parent."""
        self.engine.dispose(close=False)


def _driver_error(engine: Engine) -> type[Exception]:
    error: type[Exception] = engine.dialect.loaded_dbapi.Error
    return error


def check_schema_version(database: Database) -> None:
    """Checks that this code can use the database's tables.

    They are of this code's version, or of a newer one that says that it still serves this code. A file that is
    not there is not made: who mistyped its name shall not be left with an empty one.

    Raises:
        SchemaVersionError: They are missing, or of another version; says which command migrates.
        RecorderError: The database failed.
    """
    if database.missing_file is not None:
        # Not which: a probe that anybody may ask passes the text on.
        raise SchemaVersionError(
            "there is no such database file; correct TELEMETRY_DATABASE_URL, or run: telemetry db upgrade"
        )
    found = schema_version(database)
    if found == SCHEMA_VERSION:
        return
    if found is None:
        raise SchemaVersionError("the database has no telemetry tables yet; run: telemetry db upgrade")
    if found > SCHEMA_VERSION:
        oldest = oldest_code(database)
        if oldest is not None and oldest <= SCHEMA_VERSION:
            return
        raise SchemaVersionError(
            f"the database is of version {found}, which serves code of version {oldest or found} and later, and this "
            f"code is of {SCHEMA_VERSION}; upgrade the package telemetry-recorder in this process"
        )
    raise SchemaVersionError(
        f"the database is of version {found}, this code needs {SCHEMA_VERSION}; run: telemetry db upgrade"
    )


def schema_version(database: Database) -> str | None:
    """Returns the version of the database's tables; None where there are none yet.

    Raises:
        RecorderError: The database failed.
    """
    return database.run(lambda: _text_of(database, VERSION_TABLE, "version_num"))


def oldest_code(database: Database) -> str | None:
    """Returns the oldest code version that the database serves; None where it does not say, or there are no tables.

    Raises:
        RecorderError: The database failed.
    """
    return database.run(lambda: _text_of(database, schema_compatibility.name, "oldest_code"))


def _text_of(database: Database, table: str, column: str) -> str | None:
    if database.missing_file is not None:
        return None
    with database._reading.begin() as connection:  # noqa: SLF001 - the module's own class
        if database.is_sqlite:
            known = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
            ).scalar()
        else:
            known = connection.exec_driver_sql("SELECT to_regclass(%s)", (table,)).scalar()
        if known is None:
            return None
        value: str | None = connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalar()  # noqa: S608
        return value
