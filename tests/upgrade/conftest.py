"""Copies of the databases and files that releases wrote, and the processes of those releases."""

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.databases import PostgresServer
from support.releases import RELEASE, Written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the files that 0.1.0 wrote beside its databases, with their modification times."""
    return Path(shutil.copytree(RELEASE / "folder", tmp_path / "folder"))


@pytest.fixture
def recorded(request: pytest.FixtureRequest, database_kind: str, folder: Path) -> Iterator[Written]:
    """Yield a database of 0.1.0 with rows in every state."""
    yield from _database(request, database_kind, folder, "recorded")


@pytest.fixture
def adopted(request: pytest.FixtureRequest, database_kind: str, folder: Path) -> Iterator[Written]:
    """Yield tables of the original system, adopted by 0.1.0."""
    yield from _database(request, database_kind, folder, "adopted")


@pytest.fixture
def recorded_file(request: pytest.FixtureRequest, folder: Path) -> Iterator[Written]:
    """Yield the SQLite database of 0.1.0, for tests that do not depend on the kind of database."""
    yield from _database(request, "sqlite", folder, "recorded")


@pytest.fixture(scope="session")
def release_0_1_0(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return environment variables that make the command line that of 0.1.0."""
    (wheel,) = RELEASE.glob("*.whl")
    code = tmp_path_factory.mktemp("release")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(code)
    # Before the site-packages, where the current code is.
    return {"PYTHONPATH": str(code)}


def _database(request: pytest.FixtureRequest, kind: str, folder: Path, name: str) -> Iterator[Written]:
    if kind == "sqlite":
        shutil.copy(RELEASE / f"{name}.db", folder)
        yield Written(f"sqlite:///{folder / name}.db", folder)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.fresh_database(migrated=False) as url:
        written = Written(url, folder)
        written.rows((RELEASE / f"{name}.sql").read_text(encoding="utf-8"))
        yield written
