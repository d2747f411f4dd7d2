"""The tables' migrations, run by Alembic; they ship with the package."""

from recorder.migrations.check import SchemaFault, find_schema_faults
from recorder.migrations.upgrade import upgrade_database

__all__ = ["SchemaFault", "find_schema_faults", "upgrade_database"]
