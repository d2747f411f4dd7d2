"""PostgreSQL with psycopg, which is imported only if a URL uses it."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import JSON, URL, BigInteger, Connection, Engine, TextClause, Uuid, create_engine, event
from sqlalchemy.exc import DisconnectionError, NoSuchModuleError
from sqlalchemy.types import TypeEngine

from telemetry_store.dialects.build_progress import build_progress
from telemetry_store.dialects.dialect import DatabaseReport, Insertion
from telemetry_store.dialects.liveness import has_unread_data
from telemetry_store.dialects.postgresql_failures import postgresql_failure
from telemetry_store.errors import RecorderError, UnsupportedDatabaseError
from telemetry_store.times import as_utc

_DEFAULT_TIMEOUTS: Final = {
    "connect_timeout": 10,
    # Detects a server that is gone after a minute, instead of the kernel's default of a quarter of an hour.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Default timeouts of libpq, in seconds (the last one in milliseconds); parameters in the URL take precedence."""

_OLDEST_VERSION: Final = 130_000

# An arbitrary number that no other user of advisory locks in the same database should use.
_UPGRADE_LOCK: Final = 7_352_019_846_120_334
_LOCK_POLL_INTERVAL: Final = 0.2

_LOCK_FAILURES: Final = frozenset({"55P03", "40P01"})
"""lock_not_available and deadlock_detected."""

T = TypeVar("T")


class _Jsonb(JSON):
    """PostgreSQL's jsonb. SQLAlchemy's own type would import its PostgreSQL dialect in services that use SQLite."""

    __visit_name__ = "JSONB"


class PostgresqlDialect:
    """PostgreSQL 13 or later."""

    name: ClassVar[str] = "postgresql"
    # Many hosting services provide URLs with the short name, which SQLAlchemy does not accept.
    url_names: ClassVar[tuple[str, ...]] = ("postgresql", "postgres")

    # URLs, engines and sessions

    def with_driver(self, url: URL) -> URL:
        """Return the URL with the long name, and with psycopg if it does not name a driver."""
        _, _, driver = url.drivername.partition("+")
        return url.set(drivername=f"postgresql+{driver or 'psycopg'}")

    def check_driver(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError if the driver is not psycopg, or psycopg is not installed."""
        try:
            driver = url.get_driver_name()
        except NoSuchModuleError:
            driver = "unknown"
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

    def check_database(self, url: URL) -> None:
        """Accept every database: the server's version is known only after connecting."""

    def make_engine(self, url: URL, timeout: timedelta | None, options: Mapping[str, Any]) -> Engine:
        """Return an engine that replaces broken connections silently, and has timeouts for a silent server."""
        given = {name: value for name, value in _DEFAULT_TIMEOUTS.items() if name not in url.query}
        engine = create_engine(url, connect_args=given, **options)
        event.listen(engine, "checkout", _reject_broken_connection)
        if timeout is not None:
            from telemetry_store.dialects.bounded_connection import connecting  # noqa: PLC0415 - imports psycopg

            event.listen(engine, "do_connect", connecting(timeout))
        return engine

    def file_of(self, url: URL) -> Path | None:  # noqa: ARG002
        """Return None."""
        return None

    def reading(self, engine: Engine) -> Engine:
        """Return the engine unchanged: readers do not block writers."""
        return engine

    def snapshot(self, engine: Engine) -> Engine:
        """Return the engine with REPEATABLE READ."""
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def has_table(self, connection: Connection, table: str) -> bool:
        """Return whether the table is in the session's search path."""
        return connection.exec_driver_sql("SELECT to_regclass(%s)", (table,)).scalar() is not None

    def to_driver(self, moment: datetime) -> datetime:
        """Return the time in UTC."""
        return moment.astimezone(UTC)

    def from_driver(self, value: Any) -> datetime | None:
        """Return the time in UTC; a time selected with `{in_utc}` has no time zone."""
        return None if value is None else as_utc(value)

    # Columns of the tables

    row_id_type: ClassVar[TypeEngine[Any]] = BigInteger()
    event_id_type: ClassVar[TypeEngine[Any]] = Uuid(as_uuid=False)
    json_type: ClassVar[TypeEngine[Any]] = _Jsonb()
    # Leaves space on each page for the new version of an updated row.
    updated_table_statement: ClassVar[str | None] = "ALTER TABLE {} SET (fillfactor = 80)"
    keeps_column_types: ClassVar[bool] = True

    def conditional_index_options(self, condition: TextClause) -> Mapping[str, Any]:
        """Return the option."""
        return {"postgresql_where": condition}

    # SQL

    named_parameter: ClassVar[str] = "%({})s"
    positional_parameter: ClassVar[str] = "%s"
    placeholders: ClassVar[Mapping[str, str]] = {
        "text_id": "id::text",
        # PostgreSQL returns times in the session's time zone. There, the earliest and latest times of events may be
        # outside the years 1 to 9999, which Python cannot represent. One such row would prevent leasing all others.
        "in_utc": " AT TIME ZONE 'UTC'",
        "day": "left(to_char(timestamp AT TIME ZONE 'UTC', 'YYYYMMDD'), 8)",
        "skip_locked": "FOR UPDATE SKIP LOCKED",
        "spans": """
            SELECT position, (span ->> 0)::timestamptz AS since, (span ->> 1)::timestamptz AS until
            FROM json_array_elements(%(spans)s::json) WITH ORDINALITY AS given (span, position)
        """,
        "json_array": "json_build_array",
        "json_object": "json_object_agg",
        "readable_text": "text",
    }

    def in_list(self, parameter: str, kind: str) -> str:
        """Return the condition for an array."""
        return f"= ANY(%({parameter})s::{kind}[])"

    def list_parameter(self, values: Sequence[str]) -> str:
        """Return an array as text; ids and days do not need quotes."""
        return f"{{{','.join(values)}}}"

    def json_is_true(self, column: str, key: str) -> str:
        """Return the condition."""
        return f"""{column} @> '{{"{key}": true}}'"""

    # Writing events

    writes_both_at_once: ClassVar[bool] = True

    def insert_many(self, cursor: Any, insertion: Insertion, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert with COPY, several times faster than INSERT for many rows; SQLAlchemy's asyncio cursors lack it."""
        # On an instance of SQLAlchemy 2.0.36's cursor, `copy` is that of psycopg, which must be awaited.
        if not hasattr(type(cursor), "copy"):
            cursor.executemany(insertion.statement, rows)
            return
        with cursor.copy(f"COPY {insertion.table} ({', '.join(insertion.columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def joins_transaction(self, connection: Connection) -> bool:
        """Return whether the driver is not in autocommit mode, and so begins a transaction by itself."""
        driver: Any = connection.connection.driver_connection
        return not driver.autocommit

    # The connection that a process holds open for writing events

    locks_in_process: ClassVar[bool] = False

    def keeping(self, engine: Engine) -> Engine:
        """Return the engine in autocommit mode: a single statement is then a transaction, in one round trip."""
        return engine.execution_options(isolation_level="AUTOCOMMIT")

    def is_alive(self, driver: Any) -> bool:
        """Return whether the server has not closed the connection."""
        return not (driver.closed or has_unread_data(driver.fileno()))

    def has_open_transaction(self, driver: Any) -> bool:  # noqa: ARG002
        """Return False: psycopg closes the connection if its rollback fails."""
        return False

    def run_statement(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work`, whose statement is a transaction by itself."""
        return work(driver)

    def run_transaction(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction."""
        with driver.transaction():
            return work(driver)

    # Upgrades

    upgrades_wait: ClassVar[bool] = True
    builds_indexes_beside_writers: ClassVar[bool] = True
    online_index_options: ClassVar[Mapping[str, Any]] = {"postgresql_concurrently": True}

    def exclusive_upgrade(self, connection: Connection) -> AbstractContextManager[None]:
        """Hold an advisory lock while the block runs."""
        return _exclusive_upgrade(connection)

    def limit_lock_wait(self, connection: Connection, milliseconds: int) -> None:
        """Set `lock_timeout` for the open transaction."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds:d}")

    def is_lock_failure(self, error: BaseException) -> bool:
        """Return whether the SQLSTATE is that of a lock timeout or a deadlock."""
        return getattr(error, "sqlstate", None) in _LOCK_FAILURES

    def index_is_valid(self, connection: Connection, name: str) -> bool | None:
        """Return the catalog's value: an interrupted build leaves an index that is maintained but never used."""
        statement = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
        valid: bool | None = connection.exec_driver_sql(statement, (name,)).scalar()
        return valid

    def invalid_indexes(self, connection: Connection, table: str) -> set[str]:
        """Return the indexes whose build was interrupted."""
        statement = (
            "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE NOT indisvalid AND indrelid = to_regclass(%s)"
        )
        return set(connection.exec_driver_sql(statement, (table,)).scalars())

    def build_progress(
        self, connection: Connection, what: str, notify: Callable[[str], None]
    ) -> AbstractContextManager[None]:
        """Report the server's progress from a separate session."""
        return build_progress(connection, what, notify)

    # Errors and health

    def failure(self, error: BaseException, file: Path | None) -> RecorderError:  # noqa: ARG002
        """Return the error to raise, by SQLSTATE."""
        return postgresql_failure(error)

    def report(self, connection: Connection) -> DatabaseReport:
        """Return version, clock and size, and whether commits are durable."""
        row: Any = connection.exec_driver_sql(
            "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,"
            " current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commits,"
            " pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,"
            " clock_timestamp() AS now, pg_database_size(current_database()) AS size"
        ).one()
        found, advice, works = _assess(row)
        return DatabaseReport(found, advice, works, row.now, row.size)


def _assess(row: Any) -> tuple[str, str | None, bool]:
    """Return the findings, the advice, and whether events can be stored durably."""
    found = f"PostgreSQL {row.version.split(' ')[0]}"
    if row.number < _OLDEST_VERSION:
        return found, "PostgreSQL 13 or later is required", False
    if row.read_only:
        return f"{found}, read-only", "use the primary server in TELEMETRY_DATABASE_URL", False
    if row.fsync == "off":
        return f"{found}, fsync is off", "turn fsync on: a power failure can corrupt the whole database", False
    if row.commits == "off":
        return f"{found}, synchronous_commit is off", "turn it on: a crash loses the last events", True
    return found, None, True


def _reject_broken_connection(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    if has_unread_data(dbapi_connection.fileno()):
        raise DisconnectionError


@contextmanager
def _exclusive_upgrade(connection: Connection) -> Generator[None]:
    """Let other upgrades of the database wait.

    The lock belongs to the session, not to a transaction, and is acquired by polling: the index build of another
    upgrade would wait for a blocked statement or an open transaction.
    """
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_UPGRADE_LOCK})").scalar():
        connection.commit()
        time.sleep(_LOCK_POLL_INTERVAL)
    # A role may have a statement_timeout for its queries; building an index of a large table takes longer.
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("RESET statement_timeout")
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_UPGRADE_LOCK})")
        connection.commit()
