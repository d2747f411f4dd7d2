"""Fixtures of all tests. Tests that use a database fixture run once on each database."""

import os
import shutil
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from support.databases import ManualClock, PostgresServer, postgres_server
from telemetry_cli.log_lines import stop_logging_to_stderr
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.migrations import upgrade_database
from telemetry_store.queue_reading import QueueReading

# Examples have no deadline: a busy machine is not a defect. Function-scoped fixtures are shared by all examples of a
# test. `make test-slow` runs more examples; every run tries each rule on some.
settings.register_profile(
    "untimed",
    max_examples=int(os.environ.get("TELEMETRY_TEST_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Restore Ctrl-C: a background job of a script ignores it, and so would every command that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make tests independent of the variables of the shell that runs them."""
    for name in list(os.environ):
        ours = name.startswith("TELEMETRY_") and not name.startswith("TELEMETRY_TEST_")
        if ours or name in ("DO_NOT_TRACK", "SCARF_NO_ANALYTICS", "SCARF_ANALYTICS"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _clean_logging() -> Iterator[None]:
    """Reset logging: the command line, run in this process, logs to a stream that is closed at the end of a test."""
    yield
    stop_logging_to_stderr()
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer]:
    with postgres_server() as url:
        server = PostgresServer(url)
        yield server
        server.close()


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with our tables, to copy: migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("migrated") / "telemetry.db"
    engine = create_database_engine(f"sqlite:///{file}")
    upgrade_database(engine)
    engine.dispose()
    assert list(file.parent.iterdir()) == [file], "the file is complete without a WAL beside it"
    return file


@contextmanager
def fresh_url(request: pytest.FixtureRequest, kind: str, folder: Path, *, migrated: bool) -> Iterator[str]:
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.fresh_database(migrated=migrated) as url:
            yield url
        return
    url = f"sqlite:///{folder / 'telemetry.db'}"
    if migrated:
        shutil.copy(request.getfixturevalue("_migrated_file"), folder / "telemetry.db")
    yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a database without tables."""
    with fresh_url(request, database_kind, tmp_path, migrated=False) as url:
        yield url


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a database with our tables, which are empty."""
    with fresh_url(request, database_kind, tmp_path, migrated=True) as url:
        yield url


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    opened = Database(create_database_engine(migrated_url))
    yield opened
    opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(database: Database, clock: ManualClock) -> ExportQueue:
    return ExportQueue(database, clock=clock)


@pytest.fixture
def reading(database: Database) -> QueueReading:
    return QueueReading(database)
