"""Changes to tables that others write to meanwhile, none of whom waits longer than a moment.

A change of PostgreSQL's tables waits for the transactions that use them, and everybody who comes
later waits behind it. So each change is a transaction of its own that does little, asks for its
lock for a moment only, and tries again later. Indexes are built beside the writers. On SQLite, where writers
wait for each other anyway, each change is a transaction of its own as well.

Each change looks first whether it was made before: an upgrade that was interrupted is repeated whole.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import Final, TypeVar

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from telemetry_store.database import VERSION_TABLE
from telemetry_store.errors import DatabaseBusyError
from telemetry_store.migrations.build_progress import build_progress

T = TypeVar("T")

_LOCK_TIMEOUT: Final = "200ms"
_LONGER_LOCK_TIMEOUT: Final = "1200ms"
_ATTEMPTS_BEFORE_LONGER: Final = 6
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_TRY_AGAIN: Final = frozenset({"55P03", "40P01"})
"""The lock was not granted in time; a deadlock was ended."""

_VERSIONS: Final = sa.text(f"SELECT count(*) FROM {VERSION_TABLE}")  # noqa: S608 - a name of ours
_INDEX_STATE: Final = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


class OvertakenError(Exception):
    """Another process upgrades the same SQLite database, and is ahead: begin again from where it is."""


class OnlineChanges:
    """What migrations change tables with.

    Args:
        connection: The upgrade's own; Alembic's operations use it, too.
        patience: How long a change may go on asking for its lock.
        tell: Told in words what is being done.
        pause: Waits for a number of seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        patience: timedelta,
        tell: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.tell = tell
        self._patience = patience.total_seconds()
        self._pause = pause

    def change(self, what: str, work: Callable[[], T]) -> T:
        """Runs `work`, which looks and changes, in a short transaction of its own; returns what it returned.

        Raises:
            DatabaseBusyError: Another transaction kept its lock for longer than the patience.
        """
        return self._repeat(what, lambda attempt: self._in_transaction(work, _lock_timeout(attempt)))

    def beside_writers(self, what: str, work: Callable[[], T]) -> T:
        """Runs `work`, whose locks no writer waits for, however long it takes or has to wait itself."""
        return self._repeat(what, lambda _attempt: self._in_transaction(work, "0"))

    def index(
        self, name: str, table: str, columns: Sequence[str], *, where: str | None = None, unique: bool = False
    ) -> None:
        """Builds an index, unless it is there; on PostgreSQL beside the writers.

        One that an interrupted build left behind, which PostgreSQL keeps up and never uses, is built anew.
        """
        condition = None if where is None else sa.text(where)
        described = sa.Table(table, sa.MetaData(), *(sa.Column(column) for column in columns))
        index = sa.Index(
            name,
            *described.columns,
            unique=unique,
            postgresql_where=condition,
            sqlite_where=condition,
            postgresql_concurrently=True,
        )
        create = sa.schema.CreateIndex(index, if_not_exists=True)

        if self.is_sqlite:

            def build_alone() -> None:
                if not sa.inspect(self.connection).has_index(table, name):
                    self.tell(f"index {name}")
                    self.connection.execute(create)

            self.change(f"index {name}", build_alone)
            return

        def build() -> None:
            valid = self.connection.execute(_INDEX_STATE, {"name": name}).scalar()
            if valid:
                return
            self.tell(f"index {name}")
            if valid is False:
                self.connection.exec_driver_sql(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
            with build_progress(self.connection, f"index {name}", self.tell):
                self.connection.execute(create)

        self._repeat(f"index {name}", lambda _attempt: self._in_autocommit(build))

    def _in_transaction(self, work: Callable[[], T], lock_timeout: str) -> T:
        self.settle()
        with self.connection.begin():
            if not self.is_sqlite:
                self.connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{lock_timeout}'")
            return work()

    def _in_autocommit(self, work: Callable[[], None]) -> None:
        """Runs statements that may stand in no transaction."""
        self.settle()
        usual = self.connection.default_isolation_level
        assert usual is not None  # noqa: S101 - the connection is open
        self.connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            work()
        finally:
            self.connection.rollback()
            self.connection.execution_options(isolation_level=usual)

    def settle(self) -> None:
        """Commits what Alembic wrote since the last change: which version was reached.

        Raises:
            OvertakenError: Another process noted a later version meanwhile; nothing is committed.
        """
        if not self.connection.in_transaction():
            return
        if self.is_sqlite and self.connection.execute(_VERSIONS).scalar_one() > 1:
            self.connection.rollback()
            raise OvertakenError
        self.connection.commit()

    def _repeat(self, what: str, attempt: Callable[[int], T]) -> T:
        waited, pause = 0.0, _FIRST_PAUSE
        for number in count():
            try:
                return attempt(number)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _TRY_AGAIN:
                    raise
            if waited >= self._patience:
                break
            self.tell(f"{what}: another transaction holds the table; asking again")
            self._pause(pause)
            waited += pause
            pause = min(_LONGEST_PAUSE, pause * 2)
        raise DatabaseBusyError(
            f"{what}: another transaction has held the table for {waited:.0f} s; "
            "end it (see pg_stat_activity), then run again: telemetry db upgrade"
        )


def _lock_timeout(attempt: int) -> str:
    """Returns how long to ask for a lock, while everybody else waits.

    Now and then a little longer than PostgreSQL's `deadlock_timeout`: only who has waited that long makes it end an
    autovacuum that stands in the way, and that of a large table takes hours.
    """
    return _LONGER_LOCK_TIMEOUT if attempt % _ATTEMPTS_BEFORE_LONGER == _ATTEMPTS_BEFORE_LONGER - 1 else _LOCK_TIMEOUT


def online_changes() -> OnlineChanges:
    """Returns what the running migration changes tables with."""
    config = op.get_context().config
    assert config is not None  # noqa: S101 - migrations run only through `upgrade_database`
    changes: OnlineChanges = config.attributes["changes"]
    return changes
