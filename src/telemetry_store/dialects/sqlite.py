"""SQLite: a file in WAL mode, to which every process writes directly."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import JSON, URL, Connection, Engine, Integer, String, TextClause, create_engine, event
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeEngine

from telemetry_store.dialects.dialect import DatabaseReport, Insertion
from telemetry_store.dialects.sqlite_failures import sqlite_failure
from telemetry_store.errors import RecorderError, UnsupportedDatabaseError
from telemetry_store.times import as_utc

BUSY_TIMEOUT_SECONDS: Final = 10

WAL_BYTES: Final = 16 * 1024 * 1024
"""The size to which the write-ahead log shrinks; usually it has 4 MiB."""

_OLDEST_VERSION: Final = (3, 35, 0)
_READ_ONLY: Final = "telemetry_read_only"

T = TypeVar("T")


class SqliteDialect:
    """SQLite through Python's `sqlite3`.

    Args:
        version: The version of this Python's SQLite library.
    """

    name: ClassVar[str] = "sqlite"
    url_names: ClassVar[tuple[str, ...]] = ("sqlite",)

    def __init__(self, version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> None:
        self._version = version

    # URLs, engines and sessions

    def with_driver(self, url: URL) -> URL:
        """Return the URL unchanged."""
        return url

    def check_driver(self, url: URL) -> None:
        """Accept every driver of SQLite."""

    def check_database(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError if SQLite is too old, or the database is not a file."""
        if self._version < _OLDEST_VERSION:
            version = ".".join(map(str, self._version))
            raise UnsupportedDatabaseError(
                f"this Python's SQLite is {version}; 3.35 or later is required, for RETURNING"
            )
        if not url.database or ":memory:" in url.database:
            raise UnsupportedDatabaseError("an in-memory SQLite database would lose what is recorded; name a file")

    def make_engine(self, url: URL, timeout: timedelta | None, options: Mapping[str, Any]) -> Engine:  # noqa: ARG002 - for a server only
        """Return an engine with WAL, `synchronous=FULL`, a busy timeout, `BEGIN IMMEDIATE` for every write."""
        engine = create_engine(url, poolclass=QueuePool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **options)
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return engine

    def file_of(self, url: URL) -> Path | None:
        """Return the file; None if it is named by an SQLite URI, or the host's database is in memory."""
        return None if url.query or not url.database or ":memory:" in url.database else Path(url.database)

    def reading(self, engine: Engine) -> Engine:
        """Return the engine for transactions that do not take the write lock."""
        return engine.execution_options(**{_READ_ONLY: True})

    def snapshot(self, engine: Engine) -> Engine:
        """Return the engine for reading: a transaction of SQLite always reads one snapshot."""
        return self.reading(engine)

    def has_table(self, connection: Connection, table: str) -> bool:
        """Return whether the table is in the file's schema."""
        statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return connection.exec_driver_sql(statement, (table,)).scalar() is not None

    def to_driver(self, moment: datetime) -> str:
        """Return the time in UTC as text without a time zone, which SQLite does not support."""
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def from_driver(self, value: Any) -> datetime | None:
        """Parse the text of a time, which may have a time zone in an adopted table."""
        return None if value is None else as_utc(datetime.fromisoformat(value))

    # Columns of the tables

    # SQLite increments only a column whose type is exactly INTEGER.
    row_id_type: ClassVar[TypeEngine[Any]] = Integer()
    event_id_type: ClassVar[TypeEngine[Any]] = String(36)
    json_type: ClassVar[TypeEngine[Any]] = JSON()
    updated_table_statement: ClassVar[str | None] = None
    keeps_column_types: ClassVar[bool] = False

    def conditional_index_options(self, condition: TextClause) -> Mapping[str, Any]:
        """Return the option."""
        return {"sqlite_where": condition}

    # SQL

    named_parameter: ClassVar[str] = ":{}"
    positional_parameter: ClassVar[str] = "?"
    placeholders: ClassVar[Mapping[str, str]] = {
        "text_id": "id",
        "in_utc": "",
        "day": "replace(substr(timestamp, 1, 10), '-', '')",
        "skip_locked": "",
        "spans": """
            SELECT key AS position, json_extract(value, '$[0]') AS since, json_extract(value, '$[1]') AS until
            FROM json_each(:spans)
        """,
        "json_array": "json_array",
        "json_object": "json_group_object",
        # As bytes: a text may not be valid UTF-8, for which the driver would raise.
        "readable_text": "BLOB",
    }

    def in_list(self, parameter: str, kind: str) -> str:  # noqa: ARG002 - all values are text
        """Return the condition for a JSON array."""
        return f"IN (SELECT value FROM json_each(:{parameter}))"  # noqa: S608 - our own parameter name

    def list_parameter(self, values: Sequence[str]) -> str:
        """Return a JSON array."""
        return json.dumps(list(values))

    def json_is_true(self, column: str, key: str) -> str:
        """Return the condition; false if the text is not JSON, because an adopted table may hold any text."""
        return f"""CASE WHEN json_valid({column}) THEN json_extract({column}, '$."{key}"') = 1 ELSE 0 END"""

    # Writing events

    writes_both_at_once: ClassVar[bool] = False

    def insert_many(self, cursor: Any, insertion: Insertion, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert with a prepared statement that is executed for each row."""
        cursor.executemany(insertion.statement, rows)

    def joins_transaction(self, connection: Connection) -> bool:
        """Return whether the driver is in a transaction; begin one if the driver would do so itself."""
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction and driver.isolation_level is not None:
            # The sqlite3 module begins a transaction before an INSERT, but not before a SAVEPOINT,
            # and releasing a savepoint outside a transaction would commit.
            connection.exec_driver_sql("BEGIN")
        return bool(driver.in_transaction)

    # The connection that a process holds open for writing events

    locks_in_process: ClassVar[bool] = True

    def keeping(self, engine: Engine) -> Engine:
        """Return the engine unchanged: `run_transaction` begins transactions."""
        return engine

    def is_alive(self, driver: Any) -> bool:  # noqa: ARG002 - a file does not disconnect
        """Return True."""
        return True

    def has_open_transaction(self, driver: Any) -> bool:
        """Return whether a rollback failed."""
        return bool(driver.in_transaction)

    def run_statement(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, because the driver may have begun one by itself."""
        return self.run_transaction(driver, work)

    def run_transaction(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction that takes the write lock when it begins."""
        try:
            if not driver.in_transaction:
                # IMMEDIATE, because a transaction that requests the write lock later cannot always wait for it.
                driver.execute("BEGIN IMMEDIATE")
            result = work(driver)
            driver.commit()
        except BaseException:
            driver.rollback()
            raise
        return result

    # Upgrades

    upgrades_wait: ClassVar[bool] = False
    builds_indexes_beside_writers: ClassVar[bool] = False
    online_index_options: ClassVar[Mapping[str, Any]] = {}

    def exclusive_upgrade(self, connection: Connection) -> AbstractContextManager[None]:  # noqa: ARG002
        """Do nothing: SQLite has no lock that outlasts a transaction."""
        return nullcontext()

    def limit_lock_wait(self, connection: Connection, milliseconds: int) -> None:
        """Do nothing: the busy timeout applies, and writers wait for each other anyway."""

    def is_lock_failure(self, error: BaseException) -> bool:  # noqa: ARG002
        """Return False: the busy timeout has already waited long enough."""
        return False

    def index_is_valid(self, connection: Connection, name: str) -> bool | None:
        """Return True for every existing index: SQLite builds an index completely or not at all."""
        statement = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?"
        return None if connection.exec_driver_sql(statement, (name,)).scalar() is None else True

    def invalid_indexes(self, connection: Connection, table: str) -> set[str]:  # noqa: ARG002
        """Return an empty set."""
        return set()

    def build_progress(
        self,
        connection: Connection,  # noqa: ARG002 - SQLite does not report progress
        what: str,  # noqa: ARG002
        notify: Callable[[str], None],  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Report nothing."""
        return nullcontext()

    # Errors and health

    def failure(self, error: BaseException, file: Path | None) -> RecorderError:
        """Return the error to raise, by SQLite's name of the error."""
        return sqlite_failure(error, file)

    def report(self, connection: Connection) -> DatabaseReport:
        """Return version and journal mode; raise if the file cannot be written."""
        # Writes the current value and is rolled back; raises if the file is read-only.
        stamp = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {stamp:d}")
        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        found = f"SQLite {version}, journal mode {journal}"
        if journal != "wal":
            advice = (
                "use a file system that supports WAL (not a network share): now readers and writers block each other"
            )
            return DatabaseReport(found, advice)
        return DatabaseReport(found)


def _set_up(dbapi_connection: Any, _record: object) -> None:
    try:
        _configure(dbapi_connection)
    except BaseException:
        dbapi_connection.close()  # SQLAlchemy 2.0 would leave it open
        raise


def _configure(dbapi_connection: Any) -> None:
    dbapi_connection.isolation_level = None  # the driver does not begin transactions; _begin does
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    # Shrinks the log that grew during a long read, once the reader has finished.
    cursor.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # BEGIN IMMEDIATE takes the write lock immediately: a transaction that reads first and writes later could otherwise
    # fail at the write, no matter how long it would wait.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
