"""The counts of an audit, the table of export passes, and the index of the admin page.

The equation of the audit. Let

    L   rows of `event_logs` whose `public_argument` holds `"telemetry.event.exportable": true`
    Q   rows of the queue: pending (due, delayed, leased) + exported + dead
    U   unlogged events: rows of the queue with `in_event_logs` false + cleaned_unlogged + dropped_unlogged

and let the names below be entries of `telemetry_export_ledger`; a missing entry is 0. Then, in one snapshot,

    recorded  =  L + event_logs_pruned + U - adopted_event_logs + adopted_queue
    recorded  =  Q + cleaned + dropped

`cleaned` and `dropped` count every deleted row, `cleaned_unlogged` and `dropped_unlogged` those of them with
`in_event_logs` false; `event_logs_pruned` counts only deleted rows that L would have counted. Each is counted in the
transaction that deletes. Both rows of an event are written in one transaction, so the equation holds at any moment.

The two `adopted` entries are the baseline. The rows that a database held before this migration cannot be compared:
the original system did not write queue and table together, and did not mark rows in the same way, and version 0001
did not store which events have no row in `event_logs`. So the migration sets, from one snapshot,

    adopted_event_logs  =  L + event_logs_pruned + U
    adopted_queue       =  Q + cleaned + dropped

which makes the equation hold for that snapshot, no matter what happened before; from then on each event adds one to
both sides. Setting both entries again in the same way sets a new baseline. Do that once the last process of version
0001 has ended: an event that such a process records `without_event_logs` looks as if its row in `event_logs` were
missing, and rows of `event_logs` that it deletes after their retention time are not counted.
"""

import sqlalchemy as sa
from alembic import op

from telemetry_store.migrations.online import online_changes

revision = "0002"
down_revision = "0001"

_QUEUE = "telemetry_events_export_queue"
_TIME = sa.DateTime(timezone=True)

# For each database, the condition that a row of event_logs is marked exportable. On SQLite it may hold any text.
_MARKED = {
    "postgresql": """public_argument @> '{"telemetry.event.exportable": true}'""",
    "sqlite": """CASE WHEN json_valid(public_argument)
        THEN json_extract(public_argument, '$."telemetry.event.exportable"') = 1 ELSE 0 END""",
}
# One statement, so that all counts are from the same snapshot.
_COUNTS = """
    SELECT (SELECT count(*) FROM event_logs WHERE {marked})
        + (SELECT count(*) FROM telemetry_events_export_queue WHERE NOT in_event_logs)
        + coalesce((SELECT sum(events) FROM telemetry_export_ledger
            WHERE entry IN ('event_logs_pruned', 'cleaned_unlogged', 'dropped_unlogged')), 0) AS event_logs,
        (SELECT count(*) FROM telemetry_events_export_queue)
        + coalesce((SELECT sum(events) FROM telemetry_export_ledger
            WHERE entry IN ('cleaned', 'dropped')), 0) AS queue
"""
# Repeated after an interrupted upgrade: nothing was counted yet, so the later snapshot is the better one.
_SET_ENTRY = sa.text("""
    INSERT INTO telemetry_export_ledger (entry, events) VALUES (:entry, :events)
    ON CONFLICT (entry) DO UPDATE SET events = excluded.events
""")


def upgrade() -> None:
    """Add tables, columns and indexes; remove nothing, so that processes of version 0001 continue to work."""
    online = online_changes()
    online.change("tables of export passes and compatibility", _create_tables)
    online.change("columns of the queue", _add_column)
    online.index("event_logs_activity", "event_logs", ["timestamp", "name", "user_id", "anonymous_user_id"])
    online.settle()
    counts = op.get_bind().execute(sa.text(_COUNTS.format(marked=_MARKED[op.get_bind().dialect.name]))).one()
    if counts.event_logs or counts.queue:
        online.change("baselines of the audit", lambda: _set_baselines(int(counts.event_logs), int(counts.queue)))


def _create_tables() -> None:
    tables = sa.inspect(op.get_bind()).get_table_names()
    if "telemetry_export_runs" not in tables:
        op.create_table(
            "telemetry_export_runs",
            sa.Column("request_id", sa.String(36), primary_key=True),
            sa.Column("started_at", _TIME, nullable=False),
            sa.Column("last_at", _TIME, nullable=False),
            sa.Column("passes", sa.BigInteger, nullable=False),
            sa.Column("duration", sa.Float, nullable=False),
            sa.Column("outcome", sa.String(16), nullable=False),
            sa.Column("problem", sa.Text),
            *(
                sa.Column(name, sa.Integer, nullable=False)
                for name in ("leased", "streams", "sent", "acked", "rejected", "dead", "held")
            ),
            sa.Column("remaining", sa.BigInteger),
            sa.Column("bytes", sa.BigInteger, nullable=False),
        )
        op.create_index("telemetry_export_runs_last_at", "telemetry_export_runs", ["last_at"])
    if "telemetry_schema_compatibility" not in tables:
        table = op.create_table(
            "telemetry_schema_compatibility", sa.Column("oldest_code", sa.String(32), primary_key=True)
        )
        op.bulk_insert(table, [{"oldest_code": "0001"}])


def _add_column() -> None:
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(_QUEUE)}
    if "in_event_logs" not in present:
        # The default is constant, so that no row is rewritten.
        op.add_column(_QUEUE, sa.Column("in_event_logs", sa.Boolean, nullable=False, server_default=sa.true()))


def _set_baselines(event_logs: int, queue: int) -> None:
    for entry, events in (("adopted_event_logs", event_logs), ("adopted_queue", queue)):
        op.get_bind().execute(_SET_ENTRY, {"entry": entry, "events": events})
