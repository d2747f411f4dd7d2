"""The dialects that exist, and which of them a URL, an engine or a connection needs."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.types import TypeEngine

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


def with_variants(
    general: TypeEngine[Any], of_dialect: Callable[[DatabaseDialect], TypeEngine[Any]]
) -> TypeEngine[Any]:
    """Returns a column's type that is another one on each database.

    Args:
        general: What SQLAlchemy takes for any other database.
        of_dialect: Returns a dialect's type.
    """
    for dialect in DIALECTS:
        general = general.with_variant(of_dialect(dialect), dialect.name)
    return general


def _known(name: str, dialect: DatabaseDialect | None) -> DatabaseDialect:
    if dialect is None:
        raise UnsupportedDatabaseError(f"{name} is not supported; use SQLite or PostgreSQL")
    return dialect
