"""Which database URLs can be used, and how they are read."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from telemetry_store.dialects import DatabaseDialect, dialect_of_url
from telemetry_store.errors import UnsupportedDatabaseError


def read_url(url: str | URL) -> tuple[URL, DatabaseDialect]:
    """Returns a URL as SQLAlchemy needs it, with its driver, and the dialect of its database.

    Raises:
        UnsupportedDatabaseError: It cannot be read, or names a database, a driver or a kind of file that events
            cannot be written to.
    """
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: of a port that is not a number
        read = None
    if read is None:
        # The URL may hold a password, so it is not repeated.
        raise UnsupportedDatabaseError("the database URL is not of the form sqlite:///FILE or postgresql://HOST/NAME")
    dialect = dialect_of_url(read)
    read = dialect.with_driver(read)
    dialect.check_driver(read)
    dialect.check_database(read)
    return read, dialect
