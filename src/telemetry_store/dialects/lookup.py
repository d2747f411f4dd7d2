"""The dialects that exist, and which of them a URL, an engine or a connection needs."""

from typing import Final

from sqlalchemy import URL, Connection, Engine

from telemetry_store.dialects.dialect import DatabaseDialect
from telemetry_store.dialects.postgresql import PostgresqlDialect
from telemetry_store.dialects.sqlite import SqliteDialect
from telemetry_store.errors import UnsupportedDatabaseError

DIALECTS: Final[tuple[DatabaseDialect, ...]] = (SqliteDialect(), PostgresqlDialect())
"""Every database that can be written to. A new one is added here, and nowhere else."""

_BY_NAME: Final = {dialect.name: dialect for dialect in DIALECTS}
_BY_URL_NAME: Final = {name: dialect for dialect in DIALECTS for name in dialect.url_names}


def dialect_of(source: Engine | Connection) -> DatabaseDialect:
    """Returns the dialect of an engine or a connection.

    Raises:
        UnsupportedDatabaseError: There is no dialect for this database.
    """
    return _known(source.dialect.name, _BY_NAME.get(source.dialect.name))


def dialect_of_url(url: URL) -> DatabaseDialect:
    """Returns the dialect of a URL, which may also begin with another usual name of the database.

    Raises:
        UnsupportedDatabaseError: There is no dialect for this database.
    """
    name = url.get_backend_name()
    return _known(name, _BY_URL_NAME.get(name))


def _known(name: str, dialect: DatabaseDialect | None) -> DatabaseDialect:
    if dialect is None:
        raise UnsupportedDatabaseError(f"{name} is not supported; use SQLite or PostgreSQL")
    return dialect
