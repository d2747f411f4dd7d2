"""Makes the tables of this code's version in a database without any, which needs no Alembic.

A test holds what is made here against what the migrations make.
"""

from typing import Final

from sqlalchemy import URL, Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect

from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.errors import SchemaVersionError
from telemetry_store.event_logs import event_logs
from telemetry_store.export_ledger import export_ledger
from telemetry_store.export_queue import export_queue
from telemetry_store.export_runs import export_runs
from telemetry_store.schema_version import SCHEMA_VERSION, VERSION_TABLE, check_schema_version, schema_compatibility
from telemetry_store.schema_version import schema_version as version_of
from telemetry_store.tables import condition_of, index_options, is_updated_often

OLDEST_CODE: Final = "0001"
"""The oldest code version that tables of this version serve."""

TABLES: Final = (event_logs, export_queue, export_ledger, export_runs, schema_compatibility)
"""All tables of this code's version, except for Alembic's own."""

_UPGRADE: Final = "telemetry db upgrade (pip install 'telemetry-recorder[cli]')"


def create_tables(url: str | URL) -> None:
    """Make the tables, in a database that has none of them; a missing SQLite file is created.

    A database that has the tables already, of a version that this code can use, is left as it is. So every process of
    a service may call this at its start. Needs none of the package's extras but `postgres` for PostgreSQL, where it
    needs a direct connection: no pooler in transaction mode in between. Upgrades of older tables, and adopting those
    of the original system, are done by `telemetry db upgrade`.

    Args:
        url: A SQLAlchemy URL, such as `sqlite:///telemetry.db`.

    Raises:
        UnsupportedDatabaseError: The URL does not name a database that the recorder can write to.
        SchemaVersionError: The tables are of another version, or some of them were made by others.
        RecorderError: The database failed; nothing was made.
    """
    database = Database(create_database_engine(url))
    try:
        if version_of(database) is None:
            database.run(lambda: _create(database))
        check_schema_version(database)
    finally:
        database.close()


def _create(database: Database) -> None:
    with database.engine.connect() as connection, database.dialect.upgrading_alone(connection), connection.begin():
        present = _present(connection)
        if VERSION_TABLE in present:  # another process was faster
            return
        if present:
            raise SchemaVersionError(
                f"the database has tables that were not made by this package: {', '.join(present)}; "
                f"to adopt them with their rows, run: {_UPGRADE}"
            )
        for table in _with_options().sorted_tables:
            table.create(connection)
        for table in filter(is_updated_often, TABLES):
            if (statement := database.dialect.updated_table_statement) is not None:
                connection.exec_driver_sql(statement.format(table.name))
        connection.execute(schema_compatibility.insert().values(oldest_code=OLDEST_CODE))
        versions = _alembics_table()
        versions.create(connection)
        connection.execute(versions.insert().values(version_num=SCHEMA_VERSION))


def _present(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    return [name for name in (*(table.name for table in TABLES), VERSION_TABLE) if inspector.has_table(name)]


def _with_options() -> MetaData:
    """Return the tables with what their definitions leave to this moment: the conditions of indexes."""
    made = MetaData()
    for table in TABLES:
        conditions = {index.name: condition_of(index) for index in table.indexes}
        for index in table.to_metadata(made).indexes:
            index.dialect_kwargs.update(index_options(conditions[index.name]))
    return made


def _alembics_table() -> Table:
    """Return the table of versions as Alembic makes it, so that upgrades go on from there."""
    return Table(
        VERSION_TABLE,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
    )
