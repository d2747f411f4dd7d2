"""The supported dialects, and the lookup of the dialect of a URL, an engine or a connection."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.types import TypeEngine

from telemetry_store.dialects.dialect import DatabaseDialect
from telemetry_store.dialects.postgresql import PostgresqlDialect
from telemetry_store.dialects.sqlite import SqliteDialect
from telemetry_store.errors import UnsupportedDatabaseError

DIALECTS: Final[tuple[DatabaseDialect, ...]] = (SqliteDialect(), PostgresqlDialect())
"""All supported databases. A new one is registered only here."""

_BY_NAME: Final = {dialect.name: dialect for dialect in DIALECTS}
_BY_URL_NAME: Final = {name: dialect for dialect in DIALECTS for name in dialect.url_names}


def dialect_of(source: Engine | Connection) -> DatabaseDialect:
    """Return the dialect of an engine or a connection.

    Raises:
        UnsupportedDatabaseError: There is no dialect for this database.
    """
    return _known(source.dialect.name, _BY_NAME.get(source.dialect.name))


def dialect_of_url(url: URL) -> DatabaseDialect:
    """Return the dialect of a URL, which may also begin with another common name of the database.

    Raises:
        UnsupportedDatabaseError: There is no dialect for this database.
    """
    name = url.get_backend_name()
    return _known(name, _BY_URL_NAME.get(name))


def with_variants(
    general: TypeEngine[Any], of_dialect: Callable[[DatabaseDialect], TypeEngine[Any]]
) -> TypeEngine[Any]:
    """Return a column type that differs between databases.

    Args:
        general: The type for any other database.
        of_dialect: Returns the type for a dialect.
    """
    for dialect in DIALECTS:
        general = general.with_variant(of_dialect(dialect), dialect.name)
    return general


def _known(name: str, dialect: DatabaseDialect | None) -> DatabaseDialect:
    if dialect is None:
        raise UnsupportedDatabaseError(f"{name} is not supported; use SQLite or PostgreSQL")
    return dialect
