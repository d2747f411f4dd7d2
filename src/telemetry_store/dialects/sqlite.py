"""SQLite: a file that every process writes by itself, in WAL mode."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import JSON, URL, Connection, Engine, Integer, String, TextClause, create_engine, event
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeEngine

from telemetry_store.dialects.dialect import DatabaseReport, Insertion
from telemetry_store.errors import UnsupportedDatabaseError
from telemetry_store.times import as_utc

BUSY_TIMEOUT_SECONDS: Final = 10

WAL_BYTES: Final = 16 * 1024 * 1024
"""The write-ahead log shrinks to this; in daily use it has 4 MiB."""

_OLDEST: Final = (3, 35, 0)
_READ_ONLY: Final = "telemetry_read_only"

T = TypeVar("T")


class SqliteDialect:
    """SQLite through Python's `sqlite3`.

    Args:
        version: The version of the library that this Python has.
    """

    name: Final = "sqlite"
    url_names: Final = ("sqlite",)

    def __init__(self, version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> None:
        self._version = version

    # URLs, engines and sessions

    def with_driver(self, url: URL) -> URL:
        """Return the URL as it is."""
        return url

    def check_driver(self, url: URL) -> None:
        """Accept every driver of SQLite."""

    def check_database(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError where SQLite is too old, or the database is not a file."""
        if self._version < _OLDEST:
            version = ".".join(map(str, self._version))
            raise UnsupportedDatabaseError(f"this Python's SQLite is {version}; 3.35 or later is needed, for RETURNING")
        if not url.database or ":memory:" in url.database:
            raise UnsupportedDatabaseError("an in-memory SQLite database would lose what is recorded; name a file")

    def make_engine(self, url: URL, timeout: timedelta | None, options: Mapping[str, Any]) -> Engine:  # noqa: ARG002 - a file answers at once
        """Return an engine with WAL, `synchronous=FULL`, a busy timeout, `BEGIN IMMEDIATE` for every write."""
        engine = create_engine(url, poolclass=QueuePool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **options)
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return engine

    def file_of(self, url: URL) -> Path | None:
        """Return the file; None where SQLite's own kind of URI names it, or a host keeps the database in memory."""
        return None if url.query or not url.database or ":memory:" in url.database else Path(url.database)

    def reading(self, engine: Engine) -> Engine:
        """Return the engine for transactions that take no write lock."""
        return engine.execution_options(**{_READ_ONLY: True})

    def snapshot(self, engine: Engine) -> Engine:
        """Return the engine for reading: SQLite's transactions see one moment anyway."""
        return self.reading(engine)

    def has_table(self, connection: Connection, table: str) -> bool:
        """Return whether the table is in the file's schema."""
        statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return connection.exec_driver_sql(statement, (table,)).scalar() is not None

    def to_driver(self, moment: datetime) -> str:
        """Return the time in UTC as text without a zone, which SQLite does not know."""
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")

    def from_driver(self, value: Any) -> datetime | None:
        """Return the time that a text says; one in an adopted table may have a zone."""
        return None if value is None else as_utc(datetime.fromisoformat(value))

    # Columns of the tables

    # SQLite counts rows up only for a column of exactly the type INTEGER.
    row_id_type: Final[TypeEngine[Any]] = Integer()
    event_id_type: Final[TypeEngine[Any]] = String(36)
    json_type: Final[TypeEngine[Any]] = JSON()
    updated_table_statement: Final[str | None] = None
    keeps_column_types: Final = False

    def conditional_index_options(self, condition: TextClause) -> Mapping[str, Any]:
        """Return the option."""
        return {"sqlite_where": condition}

    # SQL

    named_parameter: Final = ":{}"
    positional_parameter: Final = "?"
    places: Final[Mapping[str, str]] = {
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
        # As bytes: a text can hold some that are not UTF-8, which the driver would refuse.
        "readable_text": "BLOB",
    }

    def in_list(self, parameter: str, kind: str) -> str:  # noqa: ARG002 - all values are text
        """Return the condition, with a JSON array."""
        return f"IN (SELECT value FROM json_each(:{parameter}))"  # noqa: S608 - a parameter's name of ours

    def list_parameter(self, values: Sequence[str]) -> str:
        """Return a JSON array."""
        return json.dumps(list(values))

    def json_is_true(self, column: str, key: str) -> str:
        """Return the condition; false where the text is not JSON, because an adopted table may hold any text."""
        return f"""CASE WHEN json_valid({column}) THEN json_extract({column}, '$."{key}"') = 1 ELSE 0 END"""

    # Writing events

    writes_both_at_once: Final = False

    def insert_many(self, cursor: Any, insertion: Insertion, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert by one prepared statement that is executed for each row."""
        cursor.executemany(insertion.statement, rows)

    def joins_transaction(self, connection: Connection) -> bool:
        """Return whether the driver is in a transaction, which is begun here where it would begin one by itself."""
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction and driver.isolation_level is not None:
            # The sqlite3 module begins a transaction before an INSERT, but not before a SAVEPOINT,
            # and releasing a savepoint outside a transaction would commit.
            connection.exec_driver_sql("BEGIN")
        return bool(driver.in_transaction)

    # The connection that a process keeps for writing events

    locks_in_process: Final = True

    def keeping(self, engine: Engine) -> Engine:
        """Return the engine as it is: transactions are begun by `run_transaction`."""
        return engine

    def is_alive(self, driver: Any) -> bool:  # noqa: ARG002 - a file does not hang up
        """Return True."""
        return True

    def has_open_transaction(self, driver: Any) -> bool:
        """Return whether a rollback failed."""
        return bool(driver.in_transaction)

    def run_statement(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction: the driver may be in one that it began by itself."""
        return self.run_transaction(driver, work)

    def run_transaction(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction that has the write lock from its begin."""
        try:
            if not driver.in_transaction:
                # At once, because a transaction that asks for the write lock later cannot always wait for it.
                driver.execute("BEGIN IMMEDIATE")
            result = work(driver)
            driver.commit()
        except BaseException:
            driver.rollback()
            raise
        return result

    # Upgrades

    upgrades_wait: Final = False
    builds_indexes_beside_writers: Final = False
    online_index_options: Final[Mapping[str, Any]] = {}

    def upgrading_alone(self, connection: Connection) -> AbstractContextManager[None]:  # noqa: ARG002
        """Keep nothing waiting: SQLite has no lock that outlasts a transaction."""
        return nullcontext()

    def limit_lock_wait(self, connection: Connection, milliseconds: int) -> None:
        """Leave it at the busy timeout: writers wait for each other anyway."""

    def is_lock_refused(self, error: BaseException) -> bool:  # noqa: ARG002
        """Return False: the busy timeout has waited long enough."""
        return False

    def index_is_valid(self, connection: Connection, name: str) -> bool | None:
        """Return True for every index: SQLite builds them whole or not at all."""
        statement = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?"
        return None if connection.exec_driver_sql(statement, (name,)).scalar() is None else True

    def invalid_indexes(self, connection: Connection, table: str) -> set[str]:  # noqa: ARG002
        """Return an empty set."""
        return set()

    def build_progress(
        self,
        connection: Connection,  # noqa: ARG002 - SQLite does not say how far it is
        what: str,  # noqa: ARG002
        tell: Callable[[str], None],  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Report nothing."""
        return nullcontext()

    # Health

    def report(self, connection: Connection) -> DatabaseReport:
        """Return version and journal mode, having tried to write."""
        # Writes what is there already, and is rolled back: a file that may not be written refuses even that.
        stamp = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {stamp:d}")
        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        found = f"SQLite {version}, journal mode {journal}"
        if journal != "wal":
            advice = "use a file system that allows WAL (no network share): readers and writers wait for each other"
            return DatabaseReport(found, advice)
        return DatabaseReport(found)


def _set_up(dbapi_connection: Any, _record: object) -> None:
    try:
        _configure(dbapi_connection)
    except BaseException:
        dbapi_connection.close()  # SQLAlchemy 2.0 would leave it open
        raise


def _configure(dbapi_connection: Any) -> None:
    dbapi_connection.isolation_level = None  # the driver begins nothing by itself; _begin does
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    # What a long reader made the log grow to is given back once the reader is gone.
    cursor.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # BEGIN IMMEDIATE takes the write lock at once: a transaction that reads first and writes later
    # could otherwise fail at the write, however long it would wait.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
