"""Which Python `make test-newest` takes."""

from pathlib import Path

import pytest

from newest_python import Interpreter, candidates, newest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    programs = {
        "python3.10": "echo 3 10 13 /opt/3.10",
        "python3.12": "echo 3 12 1 /opt/3.12",
        "python3.13": "echo 3 13 0 /opt/with space/3.13",
        "python3.14": "exit 0",  # a pre-release says nothing
        "python3.15": "echo 'pyenv: version is not set' >&2; exit 127",
        "python3": "echo 3 99 0 /opt/any",
    }
    for name, line in programs.items():
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)
    (tmp_path / "python3.16").mkdir()  # cannot be run
    return tmp_path


def test_the_newest_that_runs_is_taken_if_it_is_newer(folder: Path) -> None:
    programs = list(candidates({"PATH": str(folder), "PYENV_ROOT": str(folder / "pyenv")}))
    assert "python3" not in {program.name for program in programs}

    found = newest(programs, (3, 11))

    assert found == Interpreter((3, 13, 0), "/opt/with space/3.13")
    assert str(found) == "Python 3.13.0 (/opt/with space/3.13)"
    assert newest(programs, (3, 13)) is None


def test_the_versions_of_pyenv_are_found_beside_the_path(folder: Path) -> None:
    programs = folder / "pyenv" / "versions" / "3.13.0" / "bin"
    programs.mkdir(parents=True)
    (folder / "python3.13").rename(programs / "python3.13")

    found = newest(candidates({"PATH": "/nowhere", "PYENV_ROOT": str(folder / "pyenv")}), (3, 11))

    assert found is not None
    assert found.version == (3, 13, 0)
