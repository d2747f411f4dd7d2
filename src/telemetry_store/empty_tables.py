"""Creates the tables of this code's version in an empty database, without Alembic.

A test compares the tables that are created here with those of the migrations.
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
"""The oldest code version that is compatible with tables of this version."""

TABLES: Final = (event_logs, export_queue, export_ledger, export_runs, schema_compatibility)
"""All tables of this code's version, except Alembic's version table."""

_UPGRADE: Final = "telemetry db upgrade (pip install 'telemetry-recorder[cli]')"


def create_tables(url: str | URL) -> None:
    """Create the tables in a database without them; a missing SQLite file is created.

    A database that already has the tables, in a version that this code can use, is not changed. So every process of a
    service can call this when it starts. No extra of the package is needed except `postgres`, for PostgreSQL, where the
    connection must be direct, not through a pooler in transaction mode. `telemetry db upgrade` upgrades older tables
    and adopts those of the original system.

    Args:
        url: A SQLAlchemy URL, such as `sqlite:///telemetry.db`.

    Raises:
        UnsupportedDatabaseError: The URL is invalid, or its database or driver is not supported.
        SchemaVersionError: The tables are of another version, or some of them were not created by this package.
        RecorderError: The database failed; nothing was created.
    """
    database = Database(create_database_engine(url))
    try:
        if version_of(database) is None:
            database.run(lambda: _create(database))
        check_schema_version(database)
    finally:
        database.close()


def _create(database: Database) -> None:
    with database.engine.connect() as connection, database.dialect.exclusive_upgrade(connection), connection.begin():
        present = _present(connection)
        if VERSION_TABLE in present:  # another process was faster
            return
        if present:
            raise SchemaVersionError(
                f"the database has tables that were not created by this package: {', '.join(present)}; "
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
    """Return the tables with the conditions of their indexes, which their definitions omit."""
    made = MetaData()
    for table in TABLES:
        conditions = {index.name: condition_of(index) for index in table.indexes}
        for index in table.to_metadata(made).indexes:
            index.dialect_kwargs.update(index_options(conditions[index.name]))
    return made


def _alembics_table() -> Table:
    """Return the version table as Alembic creates it, so that later upgrades continue from this version."""
    return Table(
        VERSION_TABLE,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
    )
