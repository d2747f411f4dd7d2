"""Alembic's environment: runs our migrations on the connection of the caller."""

from alembic import context

from telemetry_store.migrations.online import OnlineChanges
from telemetry_store.schema_version import VERSION_TABLE

changes: OnlineChanges = context.config.attributes["changes"]
# In a transaction that was begun before, Alembic neither begins nor commits: the migrations do, for each change.
changes.connection.begin()
context.configure(connection=changes.connection, version_table=VERSION_TABLE)
context.run_migrations()
changes.settle()
