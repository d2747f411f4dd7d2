"""Conversion of points in time from the database."""

from datetime import UTC, datetime


def as_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC; a moment without a time zone is in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
