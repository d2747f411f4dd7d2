"""Excludes our tables from the migrations that a host's own Alembic generates."""

from typing import Any, Final

from telemetry_store.event_logs import event_logs
from telemetry_store.export_ledger import export_ledger
from telemetry_store.export_queue import export_queue
from telemetry_store.export_runs import export_runs
from telemetry_store.schema_version import VERSION_TABLE, schema_compatibility

_TABLES: Final = (event_logs, export_queue, export_ledger, export_runs, schema_compatibility)
_OURS: Final = frozenset({VERSION_TABLE, *(table.name for table in _TABLES)})


def include_object(
    object: Any,  # noqa: A002 - Alembic's word
    name: str | None,
    type_: str,
    reflected: bool,  # noqa: FBT001, ARG001 - Alembic's signature
    compare_to: Any,  # noqa: ARG001
) -> bool:
    """Return whether a host's `alembic revision --autogenerate` includes an object: False for our tables.

    Pass it to `context.configure(include_object=include_object)` in the host's `env.py`. Combine it with a function of
    the host as `lambda *given: include_object(*given) and hosts_own(*given)`. Our tables are recognized by their
    names, in every schema.

    Args:
        object: The table, or the column, index or constraint of one.
        name: Its name.
        type_: Its kind, such as `table` or `index`.
        reflected: Ignored.
        compare_to: Ignored.
    """
    table = name if type_ == "table" else getattr(getattr(object, "table", None), "name", None)
    return table not in _OURS
