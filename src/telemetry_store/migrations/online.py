"""Online changes to tables: other processes keep writing, and wait only briefly.

A change to a PostgreSQL table waits for the transactions that use the table, and all later statements queue behind it.
So each change is a separate, short transaction, which waits for its lock only briefly and retries later. Indexes are
built concurrently with writers. On SQLite, where writers wait for each other anyway, each change is a separate
transaction as well.

Each change first checks whether it was already made, because an interrupted upgrade is repeated completely.
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
    """Another process upgrades the same SQLite database and is ahead: restart from its version."""


class OnlineChanges:
    """The operations with which migrations change tables.

    Args:
        connection: The connection of the upgrade; Alembic's operations use it, too.
        patience: How long a change may retry to get its lock.
        notify: Called with a description of each step.
        pause: Waits for a number of seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        patience: timedelta,
        notify: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.connection = connection
        self.dialect = dialect_of(connection)
        self.notify = notify
        self._patience = patience.total_seconds()
        self._pause = pause

    def change(self, what: str, work: Callable[[], T]) -> T:
        """Run `work`, which checks and changes, in a separate short transaction; return its result.

        Raises:
            DatabaseBusyError: Another transaction held its lock for longer than `patience`.
        """
        return self._repeat(what, lambda attempt: self._in_transaction(work, _lock_timeout(attempt)))

    def beside_writers(self, what: str, work: Callable[[], T]) -> T:
        """Run `work`, whose locks do not block writers, without a limit on how long it runs or waits."""
        return self._repeat(what, lambda _attempt: self._in_transaction(work, 0))

    def index(
        self, name: str, table: str, columns: Sequence[str], *, where: str | None = None, unique: bool = False
    ) -> None:
        """Build an index unless it exists, concurrently with writers if the database supports that.

        An invalid index of an interrupted build is built again.
        """
        described = sa.Table(table, sa.MetaData(), *(sa.Column(column) for column in columns))
        options = {**index_options(where), **self.dialect.online_index_options}
        index = sa.Index(name, *described.columns, unique=unique, **options)

        def build() -> None:
            valid = self.dialect.index_is_valid(self.connection, name)
            if valid:
                return
            self.notify(f"index {name}")
            if valid is False:
                self.connection.execute(sa.schema.DropIndex(index, if_exists=True))
            with self.dialect.build_progress(self.connection, f"index {name}", self.notify):
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
        """Run statements that must not run in a transaction."""
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
        """Commit what Alembic wrote since the last change: the version that was reached.

        Raises:
            OvertakenError: Another process has written a later version; nothing is committed.
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
                if error.orig is None or not self.dialect.is_lock_failure(error.orig):
                    raise
            if waited >= self._patience:
                break
            self.notify(f"{what}: another transaction holds the table; retrying")
            self._pause(pause)
            waited += pause
            pause = min(_LONGEST_PAUSE, pause * 2)
        raise DatabaseBusyError(
            f"{what}: another transaction has held the table for {waited:.0f} s; "
            "end it (see pg_stat_activity), then run again: telemetry db upgrade"
        )


def _lock_timeout(attempt: int) -> int:
    """Return how many milliseconds to wait for a lock. All others wait meanwhile.

    Every few attempts it is a little longer than PostgreSQL's `deadlock_timeout`: only a transaction that waits longer
    than that cancels an autovacuum that blocks it, and an autovacuum of a large table takes hours.
    """
    return _LONGER_LOCK_TIMEOUT if attempt % _ATTEMPTS_BEFORE_LONGER == _ATTEMPTS_BEFORE_LONGER - 1 else _LOCK_TIMEOUT


def online_changes() -> OnlineChanges:
    """Return the `OnlineChanges` of the running migration."""
    config = op.get_context().config
    assert config is not None  # noqa: S101 - migrations run only through `upgrade_database`
    changes: OnlineChanges = config.attributes["changes"]
    return changes
