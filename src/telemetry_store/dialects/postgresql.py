"""PostgreSQL through psycopg, which is imported only where a URL names it."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import JSON, URL, BigInteger, Connection, Engine, TextClause, Uuid, create_engine, event
from sqlalchemy.exc import DisconnectionError, NoSuchModuleError
from sqlalchemy.types import TypeEngine

from telemetry_store.dialects.build_progress import build_progress
from telemetry_store.dialects.dialect import DatabaseReport, Insertion
from telemetry_store.dialects.liveness import has_word
from telemetry_store.errors import UnsupportedDatabaseError
from telemetry_store.times import as_utc

_PATIENCE: Final = {
    "connect_timeout": 10,
    # A server that vanished without a word is given up after a minute, not after the kernel's quarter of an hour.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""How libpq waits, in seconds (the last one: milliseconds), where the URL does not say otherwise."""

_OLDEST: Final = 130_000

# Any number will do that no other user of advisory locks in the same database takes.
_UPGRADE_LOCK: Final = 7_352_019_846_120_334
_LOCK_ASKED_EVERY: Final = 0.2

_LOCK_REFUSED: Final = frozenset({"55P03", "40P01"})
"""The lock was not granted in time; a deadlock was ended."""

T = TypeVar("T")


class _Jsonb(JSON):
    """PostgreSQL's jsonb. SQLAlchemy's own would load that dialect into services on SQLite, too."""

    __visit_name__ = "JSONB"


class PostgresqlDialect:
    """PostgreSQL 13 or later."""

    name: Final = "postgresql"
    # Many hosting services hand out URLs with the short name, which SQLAlchemy does not read.
    url_names: Final = ("postgresql", "postgres")

    # URLs, engines and sessions

    def with_driver(self, url: URL) -> URL:
        """Return the URL with the long name, and with psycopg where it names no driver."""
        _, _, driver = url.drivername.partition("+")
        return url.set(drivername=f"postgresql+{driver or 'psycopg'}")

    def check_driver(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError where the driver is not psycopg, or psycopg is not installed."""
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
        """Accept every database: what the server is, it says when it is asked."""

    def make_engine(self, url: URL, timeout: timedelta | None, options: Mapping[str, Any]) -> Engine:
        """Return an engine whose dead connections are replaced unseen, and which gives up a silent server."""
        given = {name: value for name, value in _PATIENCE.items() if name not in url.query}
        engine = create_engine(url, connect_args=given, **options)
        event.listen(engine, "checkout", _refuse_dead_connection)
        if timeout is not None:
            from telemetry_store.dialects.bounded_connection import connecting  # noqa: PLC0415 - imports psycopg

            event.listen(engine, "do_connect", connecting(timeout))
        return engine

    def file_of(self, url: URL) -> Path | None:  # noqa: ARG002
        """Return None."""
        return None

    def reading(self, engine: Engine) -> Engine:
        """Return the engine as it is: readers keep nothing waiting."""
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
        """Return the time in UTC; what was read `{in_utc}` has no zone."""
        return None if value is None else as_utc(value)

    # Columns of the tables

    row_id_type: Final[TypeEngine[Any]] = BigInteger()
    event_id_type: Final[TypeEngine[Any]] = Uuid(as_uuid=False)
    json_type: Final[TypeEngine[Any]] = _Jsonb()
    # Room on each page for the new version of an updated row.
    updated_table_statement: Final[str | None] = "ALTER TABLE {} SET (fillfactor = 80)"
    keeps_column_types: Final = True

    def conditional_index_options(self, condition: TextClause) -> Mapping[str, Any]:
        """Return the option."""
        return {"postgresql_where": condition}

    # SQL

    named_parameter: Final = "%({})s"
    positional_parameter: Final = "%s"
    places: Final[Mapping[str, str]] = {
        "text_id": "id::text",
        # PostgreSQL would give a time in the session's time zone, where the first or the last hours that an event
        # may have lie outside the years 1 to 9999, which Python cannot read; one such row would keep all others
        # from being leased.
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
        """Return the condition, with an array."""
        return f"= ANY(%({parameter})s::{kind}[])"

    def list_parameter(self, values: Sequence[str]) -> str:
        """Return an array as text; ids and days need no quotes."""
        return f"{{{','.join(values)}}}"

    def json_is_true(self, column: str, key: str) -> str:
        """Return the condition."""
        return f"""{column} @> '{{"{key}": true}}'"""

    # Writing events

    writes_both_at_once: Final = True

    def insert_many(self, cursor: Any, insertion: Insertion, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert by COPY, for many rows several times faster than INSERT; SQLAlchemy's asyncio cursors have none."""
        if not hasattr(type(cursor), "copy"):  # asked of an object, SQLAlchemy 2.0.36 gives psycopg's, which is awaited
            cursor.executemany(insertion.statement, rows)
            return
        with cursor.copy(f"COPY {insertion.table} ({', '.join(insertion.columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def joins_transaction(self, connection: Connection) -> bool:
        """Return whether the driver is not in autocommit mode; it begins a transaction by itself."""
        driver: Any = connection.connection.driver_connection
        return not driver.autocommit

    # The connection that a process keeps for writing events

    locks_in_process: Final = False

    def keeping(self, engine: Engine) -> Engine:
        """Return the engine in autocommit mode: a statement alone is then a transaction, in one round trip."""
        return engine.execution_options(isolation_level="AUTOCOMMIT")

    def is_alive(self, driver: Any) -> bool:
        """Return whether the server has not hung up."""
        return not (driver.closed or has_word(driver.fileno()))

    def has_open_transaction(self, driver: Any) -> bool:  # noqa: ARG002
        """Return False: where psycopg's rollback fails, the connection is closed."""
        return False

    def run_statement(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work`, whose statement is a transaction by itself."""
        return work(driver)

    def run_transaction(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction."""
        with driver.transaction():
            return work(driver)

    # Upgrades

    upgrades_wait: Final = True
    builds_indexes_beside_writers: Final = True
    online_index_options: Final[Mapping[str, Any]] = {"postgresql_concurrently": True}

    def upgrading_alone(self, connection: Connection) -> AbstractContextManager[None]:
        """Hold an advisory lock while the block runs."""
        return _upgrading_alone(connection)

    def limit_lock_wait(self, connection: Connection, milliseconds: int) -> None:
        """Set `lock_timeout` for the open transaction."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds:d}")

    def is_lock_refused(self, error: BaseException) -> bool:
        """Return whether the SQLSTATE says so."""
        return getattr(error, "sqlstate", None) in _LOCK_REFUSED

    def index_is_valid(self, connection: Connection, name: str) -> bool | None:
        """Return what the catalogue says: an interrupted build leaves an index that is kept up and never used."""
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
        self, connection: Connection, what: str, tell: Callable[[str], None]
    ) -> AbstractContextManager[None]:
        """Report from a session of its own what the server says of the build."""
        return build_progress(connection, what, tell)

    # Health

    def report(self, connection: Connection) -> DatabaseReport:
        """Return version, clock and size, and whether a commit is durable."""
        row: Any = connection.exec_driver_sql(
            "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,"
            " current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commits,"
            " pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,"
            " clock_timestamp() AS now, pg_database_size(current_database()) AS size"
        ).one()
        found, advice, works = _judged(row)
        return DatabaseReport(found, advice, works, row.now, row.size)


def _judged(row: Any) -> tuple[str, str | None, bool]:
    """Returns what was found, what to do, and whether it works as it is."""
    found = f"PostgreSQL {row.version.split(' ')[0]}"
    if row.number < _OLDEST:
        return found, "PostgreSQL 13 or later is needed", False
    if row.read_only:
        return f"{found}, read-only", "name the primary server in TELEMETRY_DATABASE_URL", False
    if row.fsync == "off":
        return f"{found}, fsync is off", "switch fsync on: a power cut can destroy the whole database", False
    if row.commits == "off":
        return f"{found}, synchronous_commit is off", "switch it on: a crash loses the last events", True
    return found, None, True


def _refuse_dead_connection(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    if has_word(dbapi_connection.fileno()):
        raise DisconnectionError


@contextmanager
def _upgrading_alone(connection: Connection) -> Generator[None]:
    """Keeps other upgrades of the database waiting.

    The lock is the session's, not a transaction's, and is asked for again and again: a waiting statement, or an
    open transaction, would be waited for by the other's index build.
    """
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_UPGRADE_LOCK})").scalar():
        connection.commit()
        time.sleep(_LOCK_ASKED_EVERY)
    # A role may have limits that suit its queries; an index of a large table takes longer.
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("RESET statement_timeout")
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_UPGRADE_LOCK})")
        connection.commit()
