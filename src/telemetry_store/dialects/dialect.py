"""What every database has to implement. Outside of this package nothing asks which database it is."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine, TextClause
from sqlalchemy.types import TypeEngine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """What a database says about itself, for `telemetry doctor`.

    Attributes:
        found: Product, version and what matters of its settings.
        advice: What to do; None where the database is as it should be.
        works: Whether events can be stored durably as it is.
        now: The time on the server's clock; None where there is no other clock than this machine's.
        size: How many bytes the database has on its server; None where it is a file of this machine.
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
    """One database. Has no state, so one object serves all engines and threads.

    Methods that take a `driver` or a `cursor` get the driver's own, without SQLAlchemy in between. None of them may
    do more for an event than the statements need: recording calls them.
    """

    # URLs, engines and sessions

    @property
    def name(self) -> str:
        """SQLAlchemy's name of the database."""
        ...

    @property
    def url_names(self) -> tuple[str, ...]:
        """The names that a URL may begin with, `name` among them."""
        ...

    def with_driver(self, url: URL) -> URL:
        """Returns the URL as SQLAlchemy reads it, with the driver that is used where it names none."""
        ...

    def check_driver(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError where the URL's driver is not supported, or not installed."""
        ...

    def check_database(self, url: URL) -> None:
        """Raise UnsupportedDatabaseError where what the URL names cannot keep events."""
        ...

    def make_engine(self, url: URL, timeout: timedelta | None, options: Mapping[str, Any]) -> Engine:
        """Return an engine with the settings that durability needs.

        Args:
            url: A URL that was checked.
            timeout: How long to wait for one answer of a server; None waits forever.
            options: Further arguments for SQLAlchemy's `create_engine`.
        """
        ...

    def file_of(self, url: URL) -> Path | None:
        """Return the file that keeps the database, on this machine; None where it is on a server or in memory."""
        ...

    def reading(self, engine: Engine) -> Engine:
        """Return the engine for transactions that do not write."""
        ...

    def snapshot(self, engine: Engine) -> Engine:
        """Return the engine for transactions that do not write, all of whose statements see one moment."""
        ...

    def has_table(self, connection: Connection, table: str) -> bool:
        """Return whether a table exists, by one cheap statement."""
        ...

    def to_driver(self, moment: datetime) -> Any:
        """Return a point in time as the driver takes it, in the form that SQLAlchemy stores."""
        ...

    def from_driver(self, value: Any) -> datetime | None:
        """Return a point in time, in UTC, from what the driver gave; None for NULL."""
        ...

    # Columns of the tables

    @property
    def row_id_type(self) -> TypeEngine[Any]:
        """The type of a primary key that counts up by itself."""
        ...

    @property
    def event_id_type(self) -> TypeEngine[Any]:
        """The type of an event's id, a UUID that Python has as text."""
        ...

    @property
    def json_type(self) -> TypeEngine[Any]:
        """The type of a JSON document."""
        ...

    @property
    def updated_table_statement(self) -> str | None:
        """SQL that prepares a new table whose rows are updated often, with `{}` for its name; None where there is none.

        A statement, because SQLAlchemy 2.0 has no option of a `Table` for it.
        """
        ...

    def conditional_index_options(self, condition: TextClause) -> Mapping[str, Any]:
        """Return options of SQLAlchemy's `Index` for one of those rows only that meet a condition."""
        ...

    @property
    def keeps_column_types(self) -> bool:
        """Whether a column holds values of its type only, so that another type is a fault."""
        ...

    # SQL

    @property
    def named_parameter(self) -> str:
        """A parameter of a statement that is given by name, with `{}` for the name."""
        ...

    @property
    def positional_parameter(self) -> str:
        """A parameter of a statement that is given by position."""
        ...

    @property
    def places(self) -> Mapping[str, str]:
        """What stands in a statement's template; `telemetry_store.statements` lists the names."""
        ...

    def in_list(self, parameter: str, kind: str) -> str:
        """Return the condition that a value is among those of a parameter made by `list_parameter`.

        Args:
            parameter: The parameter's name.
            kind: The values' type: `uuid` or `text`.
        """
        ...

    def list_parameter(self, values: Sequence[str]) -> str:
        """Return ids or days as one parameter. An array would be quoted element by element in Python."""
        ...

    def json_is_true(self, column: str, key: str) -> str:
        """Return the condition that a JSON column holds an object whose `key` is true."""
        ...

    # Writing events

    @property
    def writes_both_at_once(self) -> bool:
        """Whether one statement can insert into two tables: `WITH ... AS (INSERT ...) INSERT ...`."""
        ...

    def insert_many(self, cursor: Any, insertion: Insertion, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert many rows in the fastest way that the cursor has."""
        ...

    def joins_transaction(self, connection: Connection) -> bool:
        """Return whether what is executed now becomes part of a transaction of the caller's.

        Begins what the caller's driver would begin only later. False where each statement commits by itself.
        """
        ...

    # The connection that a process keeps for writing events

    def keeping(self, engine: Engine) -> Engine:
        """Return the engine for the connection that is kept."""
        ...

    @property
    def locks_in_process(self) -> bool:
        """Whether locks are in the process's memory, so that a fork must wait for the open transaction."""
        ...

    def is_alive(self, driver: Any) -> bool:
        """Return whether an idle connection can be used, without asking the server."""
        ...

    def has_open_transaction(self, driver: Any) -> bool:
        """Return whether an error left a transaction open that the next event would become part of."""
        ...

    def run_statement(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work`, which executes one statement, as a transaction."""
        ...

    def run_transaction(self, driver: Any, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, committed when it returns and rolled back when it raises."""
        ...

    # Upgrades

    def upgrading_alone(self, connection: Connection) -> AbstractContextManager[None]:
        """Keep other upgrades of the database waiting while the block runs, where the database can do that."""
        ...

    @property
    def upgrades_wait(self) -> bool:
        """Whether `upgrading_alone` keeps others waiting. False: they may overtake each other between changes."""
        ...

    def limit_lock_wait(self, connection: Connection, milliseconds: int) -> None:
        """Let the open transaction's statements wait for a lock no longer than this; 0 is forever."""
        ...

    def is_lock_refused(self, error: BaseException) -> bool:
        """Return whether a driver's error says that a lock was not granted, so that trying again can help."""
        ...

    @property
    def builds_indexes_beside_writers(self) -> bool:
        """Whether an index is built while others write, outside of any transaction."""
        ...

    @property
    def online_index_options(self) -> Mapping[str, Any]:
        """Options of SQLAlchemy's `Index` for one that is built, or dropped, beside the writers."""
        ...

    def index_is_valid(self, connection: Connection, name: str) -> bool | None:
        """Return whether queries can use an index; None where there is no such index."""
        ...

    def invalid_indexes(self, connection: Connection, table: str) -> set[str]:
        """Return the indexes of a table that were not built to their end."""
        ...

    def build_progress(
        self, connection: Connection, what: str, tell: Callable[[str], None]
    ) -> AbstractContextManager[None]:
        """Report now and then, while the block builds an index, how far it is."""
        ...

    # Health

    def report(self, connection: Connection) -> DatabaseReport:
        """Return what the database says about itself. The transaction is rolled back afterwards."""
        ...
