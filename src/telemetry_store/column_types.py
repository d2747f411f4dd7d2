"""The types of columns that differ between databases, and the one for points in time."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, TypeDecorator, Uuid

from telemetry_store.dialects import with_variants
from telemetry_store.times import as_utc

ROW_ID: Final = with_variants(BigInteger(), lambda dialect: dialect.row_id_type)
EVENT_ID: Final = with_variants(Uuid(as_uuid=False), lambda dialect: dialect.event_id_type)
JSON_DOCUMENT: Final = with_variants(JSON(), lambda dialect: dialect.json_type)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time that is always in UTC in Python, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC; SQLAlchemy omits the time zone where the database does not support it."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return UTC."""
        return None if value is None else as_utc(value)
