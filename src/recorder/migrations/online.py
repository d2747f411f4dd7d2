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
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from recorder.errors import DatabaseBusyError

_LOCK_TIMEOUT: Final = "200ms"
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
_TRY_AGAIN: Final = frozenset({"55P03", "40P01"})
"""The lock was not granted in time; a deadlock was ended."""

_INDEX_STATE: Final = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


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

    def change(self, what: str, work: Callable[[], None]) -> None:
        """Runs `work`, which looks and changes, in a short transaction of its own.

        Raises:
            DatabaseBusyError: Another transaction kept its lock for longer than the patience.
        """
        self._repeat(what, lambda: self._in_transaction(work))

    def index(self, name: str, table: str, columns: Sequence[str], *, where: str | None = None) -> None:
        """Builds an index, unless it is there; on PostgreSQL beside the writers.

        One that an interrupted build left behind, which PostgreSQL keeps up and never uses, is built anew.
        """
        condition = None if where is None else sa.text(where)

        def create(*, concurrently: bool) -> None:
            op.create_index(
                name,
                table,
                list(columns),
                if_not_exists=True,
                postgresql_where=condition,
                sqlite_where=condition,
                postgresql_concurrently=concurrently,
            )

        if self.is_sqlite:
            self.tell(f"index {name}")
            self.change(f"index {name}", lambda: create(concurrently=False))
            return

        def build() -> None:
            valid = self.connection.execute(_INDEX_STATE, {"name": name}).scalar()
            if valid:
                return
            self.tell(f"index {name}")
            if valid is False:
                op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
            create(concurrently=True)

        self._repeat(f"index {name}", lambda: self._in_autocommit(build))

    def _in_transaction(self, work: Callable[[], None]) -> None:
        self.settle()
        with self.connection.begin():
            if not self.is_sqlite:
                self.connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            work()

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
        """Commits what Alembic wrote since the last change: which version was reached."""
        if self.connection.in_transaction():
            self.connection.commit()

    def _repeat(self, what: str, attempt: Callable[[], None]) -> None:
        waited, pause = 0.0, _FIRST_PAUSE
        while True:
            try:
                attempt()
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _TRY_AGAIN:
                    raise
            else:
                return
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


def online_changes() -> OnlineChanges:
    """Returns what the running migration changes tables with."""
    config = op.get_context().config
    assert config is not None  # noqa: S101 - migrations run only through `upgrade_database`
    changes: OnlineChanges = config.attributes["changes"]
    return changes
