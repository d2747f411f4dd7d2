"""Helpers for all tables; each table is defined beside the statements that use it."""

from typing import Any, Final

from sqlalchemy import Index, MetaData, Table, text

from telemetry_store.dialects import DIALECTS

metadata: Final = MetaData()
"""The tables of this package."""

_CONDITION: Final = "condition"
_UPDATED_OFTEN: Final = "updated_often"

UPDATED_OFTEN: Final[dict[str, Any]] = {_UPDATED_OFTEN: True}
"""The `info` of a `Table` whose rows are updated often."""


def is_updated_often(table: Table) -> bool:
    """Return whether the table's rows are updated often."""
    return _UPDATED_OFTEN in table.info


def conditional(where: str) -> dict[str, Any]:
    """Return arguments for a partial `Index`, of the rows that meet a condition, which is SQL for all databases.

    SQLAlchemy's own options would import every database's dialect in each process that records: see `index_options`.
    """
    return {"info": {_CONDITION: where}}


def condition_of(index: Index) -> str | None:
    """Return the condition of a partial index, as SQL."""
    condition: str | None = index.info.get(_CONDITION)
    return condition


def index_options(where: str | None) -> dict[str, Any]:
    """Return SQLAlchemy's options for creating a partial `Index` with a condition; None makes an index of all rows."""
    options: dict[str, Any] = {}
    if where is not None:
        condition = text(where)
        for dialect in DIALECTS:
            options.update(dialect.conditional_index_options(condition))
    return options
