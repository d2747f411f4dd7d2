"""Databases for tests: SQLite files, and PostgreSQL databases copied from a migrated template."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url

from support.wheel_postgres import server_from_wheel
from telemetry_store.engine import create_database_engine
from telemetry_store.migrations import upgrade_database

POSTGRES_VARIABLE = "TELEMETRY_TEST_POSTGRES_URL"
_TEMPLATE = "telemetry_template"


class ManualClock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)


def postgresql_target(url: URL) -> tuple[str, int] | str:
    """Return the address that a server listens on; a server from a wheel has only a Unix socket."""
    folder = url.query.get("host")
    port = url.port or 5432
    return f"{folder}/.s.PGSQL.{port}" if isinstance(folder, str) else (url.host or "127.0.0.1", port)


@contextmanager
def postgres_server() -> Generator[str]:
    """Yield the URL of the configured PostgreSQL server, or of one started from a wheel."""
    if named := os.environ.get(POSTGRES_VARIABLE):
        yield named
        return
    # Not in pytest's folders, because the server's user has no access to them.
    folder = Path(tempfile.mkdtemp(prefix="telemetry-postgres-"))
    server = server_from_wheel(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class PostgresServer:
    """Creates and drops databases of a server."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._admin = create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._template = f"{_TEMPLATE}_{uuid.uuid4().hex[:8]}"
        self._create(self._template, "template0")
        engine = create_database_engine(self._url.set(database=self._template))
        upgrade_database(engine)
        engine.dispose()

    @contextmanager
    def fresh_database(self, *, migrated: bool) -> Generator[str]:
        name = f"telemetry_test_{uuid.uuid4().hex[:12]}"
        self._create(name, self._template if migrated else "template0")
        try:
            yield self._url.set(database=name).render_as_string(hide_password=False)
        finally:
            self._drop(name)

    def close(self) -> None:
        self._drop(self._template)
        self._admin.dispose()

    def _create(self, name: str, template: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    def _drop(self, name: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
