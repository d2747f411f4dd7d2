"""Reads and checks database URLs."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from telemetry_store.dialects import DatabaseDialect, dialect_of_url
from telemetry_store.errors import UnsupportedDatabaseError


def read_url(url: str | URL) -> tuple[URL, DatabaseDialect]:
    """Return a URL as SQLAlchemy needs it, with a driver, and the dialect of its database.

    Raises:
        UnsupportedDatabaseError: The URL is invalid, or its database, driver or kind of file is not supported.
    """
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        read = None
    if read is None:
        # The URL may hold a password, so the message does not repeat it.
        raise UnsupportedDatabaseError("the database URL is not of the form sqlite:///FILE or postgresql://HOST/NAME")
    dialect = dialect_of_url(read)
    read = dialect.with_driver(read)
    dialect.check_driver(read)
    dialect.check_database(read)
    return read, dialect
