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

from telemetry_store.dialects import dialect_of
from telemetry_store.errors import DatabaseBusyError
from telemetry_store.schema_version import VERSION_TABLE
from telemetry_store.tables import index_options

T = TypeVar("T")

_LOCK_TIMEOUT: Final = 200
_LONGER_LOCK_TIMEOUT: Final = 1200
"""Milliseconds."""

_ATTEMPTS_BEFORE_LONGER: Final = 6
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0

_VERSIONS: Final = sa.text(f"SELECT count(*) FROM {VERSION_TABLE}")  # noqa: S608 - a name of ours


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
        self.dialect = dialect_of(connection)
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
        return self._repeat(what, lambda _attempt: self._in_transaction(work, 0))

    def index(
        self, name: str, table: str, columns: Sequence[str], *, where: str | None = None, unique: bool = False
    ) -> None:
        """Builds an index, unless it is there; beside the writers where the database can do that.

        One that an interrupted build left behind, which is kept up and never used, is built again.
        """
        described = sa.Table(table, sa.MetaData(), *(sa.Column(column) for column in columns))
        options = {**index_options(where), **self.dialect.online_index_options}
        index = sa.Index(name, *described.columns, unique=unique, **options)

        def build() -> None:
            valid = self.dialect.index_is_valid(self.connection, name)
            if valid:
                return
            self.tell(f"index {name}")
            if valid is False:
                self.connection.execute(sa.schema.DropIndex(index, if_exists=True))
            with self.dialect.build_progress(self.connection, f"index {name}", self.tell):
                self.connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))

        if self.dialect.builds_indexes_beside_writers:
            self._repeat(f"index {name}", lambda _attempt: self._in_autocommit(build))
        else:
            self.change(f"index {name}", build)

    def _in_transaction(self, work: Callable[[], T], lock_timeout: int) -> T:
        self.settle()
        with self.connection.begin():
            self.dialect.limit_lock_wait(self.connection, lock_timeout)
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
        if not self.dialect.upgrades_wait and self.connection.execute(_VERSIONS).scalar_one() > 1:
            self.connection.rollback()
            raise OvertakenError
        self.connection.commit()

    def _repeat(self, what: str, attempt: Callable[[int], T]) -> T:
        waited, pause = 0.0, _FIRST_PAUSE
        for number in count():
            try:
                return attempt(number)
            except DBAPIError as error:
                if error.orig is None or not self.dialect.is_lock_refused(error.orig):
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


def _lock_timeout(attempt: int) -> int:
    """Returns how many milliseconds to ask for a lock, while everybody else waits.

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
