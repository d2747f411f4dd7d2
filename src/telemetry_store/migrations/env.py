"""What Alembic runs for each command: our tables, on the connection that the caller gives."""

from alembic import context

from telemetry_store.migrations.online import OnlineChanges
from telemetry_store.schema_version import VERSION_TABLE

changes: OnlineChanges = context.config.attributes["changes"]
# In a transaction that was begun before, Alembic begins and commits nothing: the migrations do, change by change.
changes.connection.begin()
context.configure(connection=changes.connection, version_table=VERSION_TABLE)
context.run_migrations()
changes.settle()
