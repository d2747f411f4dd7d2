"""A host's own Alembic in the same database leaves our tables alone."""

import subprocess
import sys
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Engine, Index, Integer, MetaData, String, Table, inspect

from telemetry_store import include_object
from telemetry_store.database import Database

host = MetaData()
Table("orders", host, Column("id", Integer, primary_key=True), Column("state", String(10)))


def proposed(engine: Engine, metadata: MetaData, **options: Any) -> set[tuple[str, str]]:
    """Returns what `alembic revision --autogenerate` would write: each operation with its table or index."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return {(change[0], change[1].name) for change in compare_metadata(context, metadata)}


def test_without_it_our_tables_would_be_dropped(database: Database) -> None:
    assert ("remove_table", "event_logs") in proposed(database.engine, host)


def test_our_tables_are_left_alone_and_those_of_the_host_are_included(database: Database) -> None:
    assert proposed(database.engine, host, include_object=include_object) == {("add_table", "orders")}
    assert len(inspect(database.engine).get_table_names()) >= 6


def test_it_can_be_combined_with_a_function_of_the_host(database: Database) -> None:
    def hosts_own(_object: Any, name: str | None, type_: str, *_: Any) -> bool:
        return not (type_ == "table" and name == "orders")

    both = {"include_object": lambda *given: include_object(*given) and hosts_own(*given)}
    assert proposed(database.engine, host, **both) == set()


def test_a_host_that_maps_one_of_our_tables_does_not_change_it(database: Database) -> None:
    mapped = MetaData()
    table = Table("event_logs", mapped, Column("id", Integer, primary_key=True), Column("name", String(10)))
    Index("hosts_index", table.c.name)
    assert proposed(database.engine, mapped, include_object=include_object, compare_type=True) == set()
    assert not include_object(table.c.name, "name", "column", reflected=False, compare_to=None)
    assert not include_object(next(iter(table.indexes)), "hosts_index", "index", reflected=False, compare_to=None)


def test_it_does_not_import_alembic() -> None:
    program = "import sys; from telemetry_store import include_object; assert 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
