"""Points in time as the database gives them."""

from datetime import UTC, datetime


def as_utc(moment: datetime) -> datetime:
    """Returns the same moment in UTC; one without a zone is in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
