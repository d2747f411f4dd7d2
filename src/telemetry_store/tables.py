"""What all tables have in common; each is defined beside the statements that use it."""

from typing import Any, Final

from sqlalchemy import Index, MetaData, text

from telemetry_store.dialects import DIALECTS

metadata: Final = MetaData()
"""The tables of this package."""

_CONDITION: Final = "condition"

UPDATED_OFTEN: Final[dict[str, Any]] = {
    name: value for dialect in DIALECTS for name, value in dialect.updated_table_options.items()
}
"""Further arguments for a `Table` whose rows are updated often."""


def conditional(where: str | None) -> dict[str, Any]:
    """Returns arguments for an `Index` of those rows only that meet a condition, which is SQL that all databases read.

    Without a condition, of all rows.
    """
    if where is None:
        return {}
    condition = text(where)
    options: dict[str, Any] = {"info": {_CONDITION: where}}
    for dialect in DIALECTS:
        options.update(dialect.conditional_index_options(condition))
    return options


def condition_of(index: Index) -> str | None:
    """Returns the condition of a partial index, as SQL."""
    condition: str | None = index.info.get(_CONDITION)
    return condition
