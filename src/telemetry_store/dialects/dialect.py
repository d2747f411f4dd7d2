"""The Protocol that every database implements. Only this package distinguishes between databases."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine, TextClause
from sqlalchemy.types import TypeEngine

from telemetry_store.errors import RecorderError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """The state of a database, for `telemetry doctor`.

    Attributes:
        found: Product, version and relevant settings.
        advice: What to change; None if everything is as it should be.
        works: Whether events can be stored durably.
        now: The time of the server's clock; None if the database uses the clock of this machine.
        size: The size of the database on its server, in bytes; None if it is a file on this machine.
    """

    found: str
    advice: str | None = None
    works: bool = True
    now: datetime | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Insertion:
    """An INSERT of one row into a table.

    Attributes:
        table: The table's name.
        columns: The columns that get a value, in the order of a row's values.
        statement: The INSERT, with positional parameters.
    """

    table: str
    columns: tuple[str, ...]
    statement: str


class DatabaseDialect(Protocol):
    """One kind of database. It has no state, so all engines and threads share one object.

    Methods with a parameter `driver` or `cursor` get the driver's own object, not one of SQLAlchemy. Recording calls
    them for each event, so they must not do more than the statements need.
    """

    # URLs, engines and sessions

    name: ClassVar[str]
    """SQLAlchemy's name of the database."""

    url_names: ClassVar[tuple[str, ...]]
    """The names with which a URL may begin, including `name`."""

    def with_driver(self, url: URL) -> URL:
        """Return the URL in SQLAlchemy's form, with the default driver if it does not name one."""
        ...

    def check_driver(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError if the URL's driver is not supported, or not installed."""
        ...

    def check_database(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError if events cannot be stored in the URL's database."""
        ...

    def make_engine(self, url: URL, timeout: timedelta | None, options: Mapping[str, Any]) -> Engine:
        """Return an engine with the settings that durability needs.

        Args:
            url: A URL that was checked.
            timeout: How long to wait for each reply of a server; None waits forever.
            options: Further arguments for SQLAlchemy's `create_engine`.
        """
        ...

    def file_of(self, url: URL) -> Path | None:
        """Return the database's file on this machine; None if the database is on a server or in memory."""
        ...

    def reading(self, engine: Engine) -> Engine:
        """Return the engine for read-only transactions."""
        ...

    def snapshot(self, engine: Engine) -> Engine:
        """Return the engine for read-only transactions whose statements all read the same snapshot."""
        ...

    def has_table(self, connection: Connection, table: str) -> bool:
        """Return whether a table exists, with one cheap statement."""
        ...

    def to_driver(self, moment: datetime) -> Any:
        """Convert a point in time for the driver, in the form that SQLAlchemy stores."""
        ...

    def from_driver(self, value: Any) -> datetime | None:
        """Convert a point in time of the driver to UTC; NULL becomes None."""
        ...

    # Columns of the tables

    row_id_type: ClassVar[TypeEngine[Any]]
    """The type of an auto-incrementing primary key."""

    event_id_type: ClassVar[TypeEngine[Any]]
    """The type of an event's id: a UUID, which is text in Python."""

    json_type: ClassVar[TypeEngine[Any]]
    """The type of a JSON document."""

    updated_table_statement: ClassVar[str | None]
    """SQL that prepares a new table whose rows are updated often, with `{}` for its name; None if not needed.

    A statement, because SQLAlchemy 2.0 does not have such an option of a `Table`.
    """

    def conditional_index_options(self, condition: TextClause) -> Mapping[str, Any]:
        """Return options for a partial SQLAlchemy `Index`, of the rows that meet a condition."""
        ...

    keeps_column_types: ClassVar[bool]
    """Whether a column holds only values of its type, so that another column type is a fault."""

    # SQL

    named_parameter: ClassVar[str]
    """The format of a named parameter in SQL, with `{}` for the name."""

    positional_parameter: ClassVar[str]
    """A positional parameter in SQL."""

    placeholders: ClassVar[Mapping[str, str]]
    """The SQL of placeholders in templates; `telemetry_store.statements` lists the names."""

    def in_list(self, parameter: str, kind: str) -> str:
        """Return the SQL condition that a value is in a parameter made by `list_parameter`.

        Args:
            parameter: The parameter's name.
            kind: The values' type: `uuid` or `text`.
        """
        ...

    def list_parameter(self, values: Sequence[str]) -> str:
        """Return ids or days as one text parameter. For an array, the driver would quote each element in Python."""
        ...

    def json_is_true(self, column: str, key: str) -> str:
        """Return the SQL condition that a JSON column holds an object whose `key` is true."""
        ...

    # Writing events

    writes_both_at_once: ClassVar[bool]
    """Whether a single statement can insert into two tables: `WITH ... AS (INSERT ...) INSERT ...`."""

    def insert_many(self, cursor: Any, insertion: Insertion, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert many rows in the fastest way that the cursor supports."""
        ...

    def joins_transaction(self, connection: Connection) -> bool:
        """Return whether the next statement joins the caller's transaction.

        Begins a transaction that the driver would begin only later. Returns False in autocommit mode.
        """
        ...

    # The connection that a process holds open for writing events

    def keeping(self, engine: Engine) -> Engine:
        """Return the engine for the connection that is held open."""
        ...

    locks_in_process: ClassVar[bool]
    """Whether locks are kept in the process's memory, so that a fork must wait for the open transaction."""

    def is_alive(self, driver: Any) -> bool:
        """Return whether an idle connection can be used, without a round trip to the server."""
        ...

    def has_open_transaction(self, driver: Any) -> bool:
        """Return whether an error left a transaction open, which the next event would join."""
        ...

    def run_statement(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work`, which executes a single statement, as a transaction."""
        ...

    def run_transaction(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, committed when it returns and rolled back when it raises."""
        ...

    # Upgrades

    def exclusive_upgrade(self, connection: Connection) -> AbstractContextManager[None]:
        """Let other upgrades of the database wait while the block runs, if the database supports that."""
        ...

    upgrades_wait: ClassVar[bool]
    """Whether `exclusive_upgrade` lets other upgrades wait. If not, they may overtake each other."""

    def limit_lock_wait(self, connection: Connection, milliseconds: int) -> None:
        """Limit how long statements of the open transaction wait for a lock; 0 waits forever."""
        ...

    def is_lock_failure(self, error: BaseException) -> bool:
        """Return whether a driver's error means that a lock was not granted, so that a retry can succeed."""
        ...

    builds_indexes_beside_writers: ClassVar[bool]
    """Whether an index is built while others write, outside a transaction."""

    online_index_options: ClassVar[Mapping[str, Any]]
    """Options for a SQLAlchemy `Index` that is built or dropped while others write."""

    def index_is_valid(self, connection: Connection, name: str) -> bool | None:
        """Return whether queries can use an index; None if it does not exist."""
        ...

    def invalid_indexes(self, connection: Connection, table: str) -> set[str]:
        """Return the indexes of a table whose build was not completed."""
        ...

    def build_progress(
        self, connection: Connection, what: str, notify: Callable[[str], None]
    ) -> AbstractContextManager[None]:
        """Report the progress of the index build in the block from time to time."""
        ...

    # Errors and health

    def failure(self, error: BaseException, file: Path | None) -> RecorderError:
        """Return the error to raise for an error of a driver, without its text, which may quote a row.

        Args:
            error: The error of the driver.
            file: The file of the database; None if it is on a server or in memory.
        """
        ...

    def report(self, connection: Connection) -> DatabaseReport:
        """Return the state of the database. The caller rolls back the transaction afterwards."""
        ...
