"""The migrations of the tables, run by Alembic and shipped with the package."""

from telemetry_store.migrations.check import SchemaFault, find_schema_faults
from telemetry_store.migrations.upgrade import upgrade_database

__all__ = ["SchemaFault", "find_schema_faults", "upgrade_database"]
