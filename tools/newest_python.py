"""Find the newest installed Python, and repeat tests on it if it is newer than the one that runs this script.

All unit tests run, and other tests that are marked `interpreter`. Their environment is `.venv-newest`.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ENVIRONMENT: Final = ROOT / ".venv-newest"
OTHER_TESTS: Final = ("tests/integration", "tests/acceptance", "tests/faults")

_DESCRIBE: Final = """
import ensurepip, sys, sysconfig, venv
usable = sys.version_info.releaselevel == "final" and sys.implementation.name == "cpython"
if usable and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print(*sys.version_info[:3], sys.executable)
"""


@dataclass(frozen=True, slots=True, order=True)
class Interpreter:
    """A Python that can create virtual environments.

    Attributes:
        version: Major, minor and micro.
        program: Its path.
    """

    version: tuple[int, ...]
    program: str

    def __str__(self) -> str:
        """Return the version and the path in readable form."""
        return f"Python {'.'.join(map(str, self.version))} ({self.program})"


def candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the programs on PATH and pyenv's versions. Some may not run: pyenv's shims depend on its settings."""
    for folder in environ.get("PATH", "").split(os.pathsep):
        yield from sorted(Path(folder or ".").glob("python3.[0-9][0-9]"))
    versions = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(versions.glob("*/bin/python3.[0-9][0-9]"))


def newest(programs: Iterable[Path], than: tuple[int, ...]) -> Interpreter | None:
    """Return the newest interpreter whose minor version is newer, or None.

    Args:
        programs: The candidates. Those that do not run, are pre-releases or cannot create environments are left out.
        than: Major and minor version to compare with.
    """
    found = (interpreter for program in programs if (interpreter := _describe(program)) is not None)
    return max((one for one in found if one.version[:2] > than), default=None)


def _describe(program: Path) -> Interpreter | None:
    try:
        done = subprocess.run([program, "-c", _DESCRIBE], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    major, minor, micro, path = done.stdout.split(maxsplit=3) if done.returncode == 0 and done.stdout else [""] * 4
    return Interpreter((int(major), int(minor), int(micro)), path.strip()) if path else None


def prepare(interpreter: Interpreter) -> Path:
    """Create the environment if it is missing or outdated; return its Python."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / ".prepared"
    described = str(interpreter)
    sources = (ROOT / "pyproject.toml", ROOT / "constraints.txt")
    is_current = stamp.exists() and stamp.read_text(encoding="utf-8") == described
    if is_current and all(source.stat().st_mtime <= stamp.stat().st_mtime for source in sources):
        return python
    subprocess.run([interpreter.program, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", "constraints.txt", "--editable", ".[dev]"], cwd=ROOT, check=True)
    stamp.write_text(described, encoding="utf-8")
    return python


def run_tests(python: Path) -> int:
    """Run the tests; return the exit status of the first failed run, or 0."""
    for chosen in (("tests/unit",), ("-m", "interpreter", *OTHER_TESTS)):
        done = subprocess.run(
            [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *chosen], cwd=ROOT, check=False
        )
        if done.returncode != 0:
            return done.returncode
    return 0


def main() -> int:
    """Repeat the tests, or print why not."""
    own = sys.version_info
    found = newest(candidates(os.environ), own[:2])
    if found is None:
        print(f"no Python newer than {own.major}.{own.minor} is found, so no tests are repeated", flush=True)
        return 0
    print(f"tests are repeated on {found}", flush=True)
    return run_tests(prepare(found))


if __name__ == "__main__":
    sys.exit(main())
