"""The types of columns that differ between databases, and the one for points in time."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, TypeDecorator, Uuid
from sqlalchemy.types import TypeEngine

from telemetry_store.dialects import DIALECTS, DatabaseDialect
from telemetry_store.times import as_utc


def _by_database(general: TypeEngine[Any], of_dialect: Callable[[DatabaseDialect], TypeEngine[Any]]) -> TypeEngine[Any]:
    for dialect in DIALECTS:
        general = general.with_variant(of_dialect(dialect), dialect.name)
    return general


ROW_ID: Final = _by_database(BigInteger(), lambda dialect: dialect.row_id_type)
EVENT_ID: Final = _by_database(Uuid(as_uuid=False), lambda dialect: dialect.event_id_type)
JSON_DOCUMENT: Final = _by_database(JSON(), lambda dialect: dialect.json_type)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time; always has the time zone UTC in Python, on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Stores UTC; SQLAlchemy leaves the zone out where the database knows none."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Returns UTC."""
        return None if value is None else as_utc(value)
