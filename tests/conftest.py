"""Fixtures of all tests. Those that take a database run once on each."""

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

# No example is judged by its time: a busy machine is no defect. Fixtures of a function serve all its examples.
# `make test-slow` asks for more examples: each rule is tried on some in every run.
settings.register_profile(
    "untimed",
    max_examples=int(os.environ.get("TELEMETRY_TEST_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """What a script starts in its background ignores Ctrl-C, and so would every command that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the shell that runs it has set."""
    for name in list(os.environ):
        ours = name.startswith("TELEMETRY_") and not name.startswith("TELEMETRY_TEST_")
        if ours or name in ("DO_NOT_TRACK", "SCARF_NO_ANALYTICS", "SCARF_ANALYTICS"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _clean_logging() -> Iterator[None]:
    """The command line, run in this process, sends logs to a standard error that a test's end closes."""
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
    """A SQLite file with our tables, to be copied: the migrations take longer than most tests."""
    file = tmp_path_factory.mktemp("migrated") / "telemetry.db"
    engine = create_database_engine(f"sqlite:///{file}")
    upgrade_database(engine)
    engine.dispose()
    assert list(file.parent.iterdir()) == [file], "the file is whole without a log beside it"
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
    """A database without any table."""
    with fresh_url(request, database_kind, tmp_path, migrated=False) as url:
        yield url


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> Iterator[str]:
    """A database with our tables, empty."""
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
