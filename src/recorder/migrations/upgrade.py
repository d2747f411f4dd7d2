"""Brings a database's tables to the version that this code needs."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from recorder.database import SCHEMA_VERSION, Database

# Any number will do that no other user of advisory locks in the same database takes.
_UPGRADE_LOCK: Final = 7_352_019_846_120_334


def upgrade_database(engine: Engine) -> str:
    """Makes or migrates the tables, in one transaction; returns the version that the database has now.

    Tables of the original system, `event_logs` and `telemetry_events_export_queue`, are adopted
    with their rows. Processes that upgrade at the same time wait for each other.

    Raises:
        RecorderError: The database failed, or a table cannot be adopted; nothing was changed.
    """

    def upgrading() -> None:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
            command.upgrade(_config(connection), SCHEMA_VERSION)

    Database(engine).run(upgrading)
    return SCHEMA_VERSION


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
