"""The legacy table `event_logs`, for analytics on the instance, and the translation into it."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Connection, Index, Integer, Table, Text, text

from recorder.database import Database, UtcDateTime, metadata
from recorder.export_ledger import EVENT_LOGS_PRUNED, PRUNED_THAT_DAY, count_entries, entries_of_days
from recorder.queue_statements import EXPORTABLE_MARK, for_postgresql, for_sqlite
from telemetry.parameters import MAX_EXACT_INT
from telemetry.v1 import telemetrygateway_pb2 as pb

DEFAULT_SOURCE: Final = "BACKEND"
UNKNOWN: Final = "unknown"
PRIVATE_METADATA_EXPORTABLE_KEY: Final = "telemetry.privateMetadata.exportable"
TRANSLATION_ERROR_KEY: Final = "translation.error"


class _Jsonb(JSON):
    """PostgreSQL's jsonb. SQLAlchemy's own would load that dialect into services on SQLite, too."""

    __visit_name__ = "JSONB"


_JSON = JSON().with_variant(_Jsonb(), "postgresql")
_EMPTY_OBJECT = text("'{}'")

event_logs = Table(
    "event_logs",
    metadata,
    # SQLite counts rows up only for a column of exactly the type INTEGER.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("user_id", Integer, nullable=False),
    Column("anonymous_user_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("argument", _JSON, nullable=False, server_default=_EMPTY_OBJECT),
    Column("public_argument", _JSON, nullable=False, server_default=_EMPTY_OBJECT),
    Column("version", Text, nullable=False),
    Column("timestamp", UtcDateTime, nullable=False),
    Column("feature_flags", _JSON),
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
    # Everything that the panels of the admin page count by, so that they need not read the table.
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
"""The columns of a translated row, in the row's order. The others are not used by new events."""

# PostgreSQL's jsonb cannot hold NUL. After an odd number of backslashes it is the escape, after
# an even number it is plain text.
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MAX_USER_ID = 2**31 - 1
_TRUE_FLAGS = frozenset({"true", "t", "1"})


def translate(event: pb.Event, timestamp: Any, *, exportable: bool, private_exportable: bool) -> tuple[Any, ...]:
    """Returns an event as a row of `event_logs`, in the order of `WRITTEN_COLUMNS`.

    Args:
        event: The whole event, private metadata included.
        timestamp: The event's time as the driver takes it.
        exportable: Whether the event was queued for export.
        private_exportable: Whether private metadata of this event's type may leave.
    """
    user = event.user
    # The column has 32 bits and the wire 64; an id that does not fit is kept in the queue alone.
    user_id = user.user_id if -_MAX_USER_ID <= user.user_id <= _MAX_USER_ID else 0
    marketing = event.marketing_tracking
    client = event.source.client
    return (
        f"{event.feature}.{event.action}",
        marketing.url,
        user_id,
        user.anonymous_user_id or ("" if user_id else UNKNOWN),
        client.name or DEFAULT_SOURCE,
        _json_text(lambda: _argument(event, private_exportable=private_exportable)),
        _json_text(lambda: _public_argument(event, exportable=exportable)),
        event.source.server.version or UNKNOWN,
        timestamp,
        _json_text(lambda: _flags(event)) if event.HasField("feature_flags") else None,
        _given(marketing, "cohort_id"),
        _given(marketing, "first_source_url"),
        _given(marketing, "last_source_url"),
        _given(marketing, "referrer"),
        _given(marketing, "device_session_id"),
        event.parameters.billing_metadata.category if event.parameters.HasField("billing_metadata") else None,
        f"{client.name}:{client.version}" if event.source.HasField("client") else None,
    )


def _given(marketing: pb.EventMarketingTracking, name: str) -> str | None:
    value: str = getattr(marketing, name)
    return value or None


def _json_text(make: Callable[[], Mapping[str, Any]]) -> str:
    """Returns JSON for a column; a part that cannot be translated becomes a marker.

    Whatever is wrong with one column must not cost the event its place in the queue.
    """
    try:
        encoded = orjson.dumps(make())
        if b"\\u0000" not in encoded or _NUL_ESCAPE.search(encoded) is None:
            return encoded.decode()
        problem = "holds NUL"
    except Exception as error:  # noqa: BLE001 - see above
        problem = type(error).__name__
    return orjson.dumps({TRANSLATION_ERROR_KEY: problem}).decode()


def _argument(event: pb.Event, *, private_exportable: bool) -> Mapping[str, Any]:
    if not event.parameters.HasField("private_metadata"):
        return {}
    return {
        **_from_struct(event.parameters.private_metadata),
        PRIVATE_METADATA_EXPORTABLE_KEY: private_exportable,
    }


def _public_argument(event: pb.Event, *, exportable: bool) -> Mapping[str, Any]:
    numbers: dict[str, Any] = {key: _number(value) for key, value in event.parameters.metadata.items()}
    numbers[EXPORTABLE_MARK] = exportable
    return numbers


def _flags(event: pb.Event) -> Mapping[str, Any]:
    return {name: value.lower() in _TRUE_FLAGS for name, value in event.feature_flags.flags.items()}


def _number(value: float) -> float | int:
    # As protobuf's own JSON mapping does it: a whole number is written without a fraction, as far as
    # doubles count whole numbers one by one.
    return int(value) if value.is_integer() and -MAX_EXACT_INT <= value <= MAX_EXACT_INT else value


def _from_struct(struct: Struct) -> dict[str, Any]:
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "struct_value":
        return _from_struct(value.struct_value)
    if kind == "list_value":
        return _from_list(value.list_value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def _from_list(values: ListValue) -> list[Any]:
    return [_from_value(value) for value in values.values]


_STATEMENTS: Final = {
    # By the index on timestamp, a bounded number at a time, so that no transaction is long.
    "prune": """
        DELETE FROM event_logs WHERE id IN (
            SELECT id FROM event_logs WHERE timestamp < {before} ORDER BY timestamp LIMIT {limit}
        ) RETURNING {day} AS day, name, {exportable} AS exportable
    """,
}
_SQLITE: Final = for_sqlite(_STATEMENTS)
_POSTGRESQL: Final = for_postgresql(_STATEMENTS)


def prune_event_logs(database: Database, before: datetime, limit: int) -> int:
    """Deletes at most `limit` rows older than `before`, and counts the exportable ones in the ledger.

    Returns how many it deleted.
    """
    statement = (_SQLITE if database.is_sqlite else _POSTGRESQL)["prune"]
    values = {"before": database.to_driver(before), "limit": limit}

    def pruning(connection: Connection) -> int:
        rows = connection.exec_driver_sql(statement, values).all()
        exportable = [(row.day, row.name) for row in rows if row.exportable]
        days = entries_of_days(PRUNED_THAT_DAY, exportable)
        count_entries(connection, {EVENT_LOGS_PRUNED: len(exportable)} | days)
        return len(rows)

    return database.write(pruning)
