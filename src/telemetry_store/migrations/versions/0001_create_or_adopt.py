"""Create `event_logs` and the export queue, or adopt those of the original system with their rows.

The definitions are repeated here, because a migration must not change when the code does.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine.interfaces import ReflectedColumn

from telemetry_store.errors import SchemaVersionError
from telemetry_store.migrations.online import online_changes
from telemetry_store.migrations.retyping import Retyping

revision = "0001"
down_revision = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_EMPTY_OBJECT = sa.text("'{}'")
_TIME = sa.DateTime(timezone=True)

_EVENT_LOGS_REQUIRED = {
    "id",
    "name",
    "url",
    "user_id",
    "anonymous_user_id",
    "source",
    "argument",
    "version",
    "timestamp",
}
_QUEUE_REQUIRED = {"id", "timestamp", "payload_pb", "exported_at"}
_CHECKS = {
    "event_logs_check_name_not_empty": "name <> ''",
    "event_logs_check_source_not_empty": "source <> ''",
    "event_logs_check_version_not_empty": "version <> ''",
    "event_logs_check_has_user": "user_id <> 0 OR anonymous_user_id <> ''",
}
_INDEXED = ("name", "source", "user_id", "anonymous_user_id", "timestamp")
_QUEUE = "telemetry_events_export_queue"
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_QUEUE_INDEXES = (
    (f"{_QUEUE}_unexported", ["timestamp", "id"], "exported_at IS NULL AND dead_at IS NULL"),
    (f"{_QUEUE}_exported", ["exported_at"], "exported_at IS NOT NULL"),
    (f"{_QUEUE}_dead", ["dead_at"], "dead_at IS NOT NULL"),
)


def upgrade() -> None:
    """Create what is missing; change what exists only where the code needs it."""
    online = online_changes()
    # First, in the open transaction: if it raises, even the version table is rolled back.
    _check_adoptable()
    online.change("make the tables", _create_missing)
    online.change("columns of event_logs", _add_columns)
    online.change("columns of the queue", _adopt_queue)
    if _on_postgresql():
        # Cohorts were dates once; in the wire format they are any text. The queue's ids were UUIDs as text.
        Retyping(online, "event_logs", "cohort_id", "text").run()
        Retyping(online, _QUEUE, "id", "uuid").run()
        # Afterwards, because retyping updates rows, which would fail for old rows that violate a check.
        online.change("checks of event_logs", _add_checks)
    for column in _not_indexed():
        online.index(f"event_logs_{column}", "event_logs", [column])
    for name, columns, where in _QUEUE_INDEXES:
        online.index(name, _QUEUE, columns, where=where)


def _check_adoptable() -> None:
    tables = _tables()
    if "event_logs" in tables:
        columns = _columns("event_logs")
        ours = _EVENT_LOGS_REQUIRED | {column.name for column in _event_logs_optional()}
        _require("event_logs", set(columns), _EVENT_LOGS_REQUIRED)
        _refuse_demands_of_others("event_logs", columns.values(), ours)
    if _QUEUE in tables:
        columns = _columns(_QUEUE)
        ours = _QUEUE_REQUIRED | {column.name for column in _queue_state()}
        _require(_QUEUE, set(columns), _QUEUE_REQUIRED)
        _refuse_demands_of_others(_QUEUE, columns.values(), ours)
        if _on_postgresql() and not isinstance(columns["id"]["type"], sa.Uuid):
            _refuse_ids_of_others()


def _create_missing() -> None:
    tables = _tables()
    if "event_logs" not in tables:
        _create_event_logs()
    if _QUEUE not in tables:
        _create_queue()
    if "telemetry_export_ledger" not in tables:
        op.create_table(
            "telemetry_export_ledger",
            sa.Column("entry", sa.String(32), primary_key=True),
            sa.Column("events", sa.BigInteger, nullable=False),
        )


def _tables() -> set[str]:
    return set(sa.inspect(op.get_bind()).get_table_names())


def _columns(table: str) -> dict[str, ReflectedColumn]:
    return {column["name"]: column for column in sa.inspect(op.get_bind()).get_columns(table)}


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _event_logs_optional() -> list[sa.Column[Any]]:
    return [
        sa.Column("public_argument", _JSON, nullable=False, server_default=_EMPTY_OBJECT),
        sa.Column("feature_flags", _JSON),
        *(
            sa.Column(name, sa.Text)
            for name in (
                "cohort_id",
                "first_source_url",
                "last_source_url",
                "referrer",
                "device_id",
                "insert_id",
                "billing_product_category",
                "billing_event_id",
                "client",
            )
        ),
    ]


def _create_event_logs() -> None:
    op.create_table(
        "event_logs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("anonymous_user_id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("argument", _JSON, nullable=False, server_default=_EMPTY_OBJECT),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("timestamp", _TIME, nullable=False),
        *_event_logs_optional(),
        *(sa.CheckConstraint(check, name=name) for name, check in _CHECKS.items()),
    )
    for column in _INDEXED:  # immediately, while no other transaction sees the table
        op.create_index(f"event_logs_{column}", "event_logs", [column])


def _add_columns() -> None:
    columns = _columns("event_logs")
    for column in _event_logs_optional():
        if column.name not in columns:
            op.add_column("event_logs", column)
    if _on_postgresql() and columns["argument"].get("default") is None:
        op.alter_column("event_logs", "argument", server_default=_EMPTY_OBJECT)


def _add_checks() -> None:
    # SQLite cannot add a check to an existing table; the recorder's rows satisfy it anyway.
    present = {check["name"] for check in sa.inspect(op.get_bind()).get_check_constraints("event_logs")}
    for check, condition in _CHECKS.items():
        if check not in present:
            # NOT VALID: existing rows are not checked.
            op.execute(f"ALTER TABLE event_logs ADD CONSTRAINT {check} CHECK ({condition}) NOT VALID")


def _not_indexed() -> list[str]:
    """Return the columns with which no index begins; an index with another name counts as well."""
    indexes = sa.inspect(op.get_bind()).get_indexes("event_logs")
    indexed = {index["column_names"][0] for index in indexes if index["name"] not in _own_names()}
    return [column for column in _INDEXED if column not in indexed]


def _own_names() -> set[str]:
    return {f"event_logs_{column}" for column in _INDEXED}


def _queue_state() -> list[sa.Column[Any]]:
    return [
        sa.Column("due_at", _TIME),
        sa.Column("lease", sa.String(36)),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("dead_at", _TIME),
        sa.Column("dead_reason", sa.Text),
    ]


def _create_queue() -> None:
    op.create_table(
        _QUEUE,
        sa.Column("id", sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite"), primary_key=True),
        sa.Column("timestamp", _TIME, nullable=False),
        sa.Column("payload_pb", sa.LargeBinary, nullable=False),
        sa.Column("exported_at", _TIME),
        *_queue_state(),
    )
    _leave_room_for_updates()
    for name, columns, where in _QUEUE_INDEXES:
        condition = sa.text(where)
        op.create_index(name, _QUEUE, columns, postgresql_where=condition, sqlite_where=condition)


def _adopt_queue() -> None:
    columns = _columns(_QUEUE)
    missing = [column for column in _queue_state() if column.name not in columns]
    for column in missing:
        op.add_column(_QUEUE, column)
    if missing:
        _leave_room_for_updates()


def _leave_room_for_updates() -> None:
    if _on_postgresql():  # by SQL, because SQLAlchemy 2.0 has no such option of a table
        op.execute(f"ALTER TABLE {_QUEUE} SET (fillfactor = 80)")


def _require(table: str, present: set[str], required: set[str]) -> None:
    if missing := sorted(required - present):
        raise SchemaVersionError(
            f"a table {table} exists, but lacks {', '.join(missing)}, so it cannot be adopted; "
            "rename it, then upgrade again"
        )


def _refuse_ids_of_others() -> None:
    statement = sa.text("SELECT count(*) FROM telemetry_events_export_queue WHERE id !~ :uuid")
    others = op.get_bind().scalar(statement, {"uuid": _UUID})
    if others:
        raise SchemaVersionError(
            f"{others} rows of {_QUEUE} have an id that is not a UUID, so a gateway would reject them; "
            f"delete them (WHERE id !~ '{_UUID}'), then upgrade again"
        )


def _refuse_demands_of_others(table: str, columns: Iterable[ReflectedColumn], ours: set[str]) -> None:
    demanding = sorted(
        column["name"]
        for column in columns
        if column["name"] not in ours and not column["nullable"] and column.get("default") is None
    )
    if demanding:
        raise SchemaVersionError(
            f"the table {table} requires values for {', '.join(demanding)}, which new events do not have: "
            "make these columns nullable or give them defaults, then upgrade again"
        )
