"""What Alembic runs for each command: our tables, on the connection that the caller gives."""

from alembic import context

from recorder.database import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
)
# The caller has begun a transaction, and commits it when the migrations have run.
with context.begin_transaction():
    context.run_migrations()
