"""The legacy table `event_logs`, for analytics on the instance."""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, Column, Connection, Index, Integer, Table, Text, text

from telemetry_store.column_types import JSON_DOCUMENT, ROW_ID, UtcDateTime
from telemetry_store.database import Database
from telemetry_store.export_ledger import EVENT_LOGS_PRUNED, PRUNED_THAT_DAY, count_entries, entries_of_days
from telemetry_store.statements import Statements
from telemetry_store.tables import metadata

UNKNOWN: Final = "unknown"
_EMPTY_OBJECT = text("'{}'")

event_logs = Table(
    "event_logs",
    metadata,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("user_id", Integer, nullable=False),
    Column("anonymous_user_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("argument", JSON_DOCUMENT, nullable=False, server_default=_EMPTY_OBJECT),
    Column("public_argument", JSON_DOCUMENT, nullable=False, server_default=_EMPTY_OBJECT),
    Column("version", Text, nullable=False),
    Column("timestamp", UtcDateTime, nullable=False),
    Column("feature_flags", JSON_DOCUMENT),
    Column("cohort_id", Text),
    Column("first_source_url", Text),
    Column("last_source_url", Text),
    Column("referrer", Text),
    Column("device_id", Text),
    Column("insert_id", Text),
    Column("billing_product_category", Text),
    Column("billing_event_id", Text),
    Column("client", Text),
    CheckConstraint("name <> ''", name="event_logs_check_name_not_empty"),
    CheckConstraint("source <> ''", name="event_logs_check_source_not_empty"),
    CheckConstraint("version <> ''", name="event_logs_check_version_not_empty"),
    CheckConstraint("user_id <> 0 OR anonymous_user_id <> ''", name="event_logs_check_has_user"),
    Index("event_logs_name", "name"),
    Index("event_logs_source", "source"),
    Index("event_logs_user_id", "user_id"),
    Index("event_logs_anonymous_user_id", "anonymous_user_id"),
    Index("event_logs_timestamp", "timestamp"),
    # All columns that the panels of the admin page use, so that they are answered by index-only scans.
    Index("event_logs_activity", "timestamp", "name", "user_id", "anonymous_user_id"),
)

WRITTEN_COLUMNS: Final = (
    "name",
    "url",
    "user_id",
    "anonymous_user_id",
    "source",
    "argument",
    "public_argument",
    "version",
    "timestamp",
    "feature_flags",
    "cohort_id",
    "first_source_url",
    "last_source_url",
    "referrer",
    "device_id",
    "billing_product_category",
    "client",
)
"""The columns of a translated row, in the row's order. New events do not use the others."""

_TEMPLATES: Final = {
    # Uses the index on timestamp, with a limit that keeps each transaction short.
    "prune": """
        DELETE FROM event_logs WHERE id IN (
            SELECT id FROM event_logs WHERE timestamp < {before} ORDER BY timestamp LIMIT {limit}
        ) RETURNING {day} AS day, name, {exportable} AS exportable
    """,
}
STATEMENTS: Final = Statements(_TEMPLATES)


def prune_event_logs(database: Database, before: datetime, limit: int) -> int:
    """Delete at most `limit` rows older than `before`, and count the exportable ones in the ledger.

    Returns:
        The number of deleted rows.
    """
    statement = STATEMENTS.on(database.dialect)["prune"]
    values = {"before": database.dialect.to_driver(before), "limit": limit}

    def pruning(connection: Connection) -> int:
        rows = connection.exec_driver_sql(statement, values).all()
        exportable = [(row.day, row.name) for row in rows if row.exportable]
        days = entries_of_days(PRUNED_THAT_DAY, exportable)
        count_entries(connection, {EVENT_LOGS_PRUNED: len(exportable)} | days)
        return len(rows)

    return database.write(pruning)
