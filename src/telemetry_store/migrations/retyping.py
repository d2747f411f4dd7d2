"""Changes the type of a column of a large PostgreSQL table, while others write to the table.

PostgreSQL's ALTER COLUMN TYPE rewrites the table under a lock that blocks even readers. Instead, a second column is
filled: by a trigger for new rows, and in batches for existing ones. Then a short transaction replaces the first column
with the second. After an interruption at any point, it continues from there.
"""

from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from telemetry_store.migrations.online import OnlineChanges

_ROWS_AT_A_TIME: Final = 2_000
"""Keeps each batch short, so that a writer hardly waits for a row."""

_BATCHES_PER_REPORT: Final = 50


class Retyping:
    """The change of one column's type.

    Args:
        online: The operations that change tables.
        table: The table; its primary key is `id`.
        column: The column: `id`, or a nullable column.
        new_type: The new type, as SQL; the cast to it must fit every row.
    """

    def __init__(self, online: OnlineChanges, table: str, column: str, new_type: str) -> None:
        self._online = online
        self._table = table
        self._column = column
        self._type = new_type
        self._is_key = column == "id"
        self._new = f"telemetry_new_{column}"
        self._name = f"{table}_{self._new}"

    def run(self) -> None:
        """Change the type, unless the column has it already."""
        if self._has_type():
            return
        what = f"type of {self._table}.{self._column}"
        self._online.change(what, self._add_column)
        self._fill(what)
        if self._is_key:
            self._online.change(what, self._add_check)
            self._online.beside_writers(
                what, lambda: op.execute(f"ALTER TABLE {self._table} VALIDATE CONSTRAINT {self._name}")
            )
            self._online.index(self._name, self._table, [self._new], unique=True)
        self._online.change(what, self._swap)

    def _has_type(self) -> bool:
        found = op.get_bind().scalar(
            sa.text(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = to_regclass(:table) AND attname = :column AND NOT attisdropped"
            ),
            {"table": self._table, "column": self._column},
        )
        return bool(found == self._type)

    def _add_column(self) -> None:
        op.execute(f"ALTER TABLE {self._table} ADD COLUMN IF NOT EXISTS {self._new} {self._type}")
        op.execute(
            f"CREATE OR REPLACE FUNCTION {self._name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN NEW.{self._new} := NEW.{self._column}::{self._type}; RETURN NEW; END $$"
        )
        op.execute(f"DROP TRIGGER IF EXISTS {self._name} ON {self._table}")
        op.execute(
            f"CREATE TRIGGER {self._name} BEFORE INSERT OR UPDATE ON {self._table} "
            f"FOR EACH ROW EXECUTE FUNCTION {self._name}()"
        )

    def _fill(self, what: str) -> None:
        """Fill the new column in batches by ranges of the key: each batch begins where the last one ended."""
        last = self._online.change(what, lambda: self._fill_batch(None))
        batches = 1
        while last is not None:
            if batches % _BATCHES_PER_REPORT == 0:
                self._online.notify(f"{what}: {batches * _ROWS_AT_A_TIME:,} rows")
            last = self._online.change(what, partial(self._fill_batch, last))
            batches += 1

    def _fill_batch(self, last: Any) -> Any:
        """Fill a batch of rows with keys larger than `last`; return its largest key, or None at the end."""
        after = "" if last is None else "id > :last AND"
        # A range of the key, for which no query plan joins the whole table. The trigger of the update fills the column;
        # NULL needs no conversion.
        statement = sa.text(f"""
            WITH batch AS (
                SELECT max(id) AS last FROM (
                    SELECT id FROM {self._table} WHERE {after} true ORDER BY id LIMIT {_ROWS_AT_A_TIME}
                ) AS rows
            ), filled AS (
                UPDATE {self._table} SET {self._new} = NULL
                WHERE {after} id <= (SELECT last FROM batch) AND {self._column} IS NOT NULL AND {self._new} IS NULL
            )
            SELECT last FROM batch
        """)  # noqa: S608 - names of our own tables
        return op.get_bind().scalar(statement, {} if last is None else {"last": last})

    def _add_check(self) -> None:
        # With it, PostgreSQL does not read the whole table again under the lock of the last step.
        op.execute(f"ALTER TABLE {self._table} DROP CONSTRAINT IF EXISTS {self._name}")
        op.execute(f"ALTER TABLE {self._table} ADD CONSTRAINT {self._name} CHECK ({self._new} IS NOT NULL) NOT VALID")

    def _swap(self) -> None:
        op.execute(f"LOCK TABLE {self._table} IN ACCESS EXCLUSIVE MODE")
        op.execute(f"DROP TRIGGER {self._name} ON {self._table}")
        op.execute(f"DROP FUNCTION {self._name}()")
        op.execute(f"ALTER TABLE {self._table} DROP COLUMN {self._column}")
        op.execute(f"ALTER TABLE {self._table} RENAME COLUMN {self._new} TO {self._column}")
        if self._is_key:
            op.execute(
                f"ALTER TABLE {self._table} ADD CONSTRAINT {self._table}_pkey PRIMARY KEY USING INDEX {self._name}"
            )
            op.execute(f"ALTER TABLE {self._table} DROP CONSTRAINT {self._name}")
