"""Published npm packages: installed once, from a lock file, into a cached folder."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_LOCKED = Path(__file__).resolve().parents[1] / "npm"
_CACHE = Path(sys.prefix) / "npm-for-tests"  # deleted with the virtual environment


def npm_packages(name: str) -> Path:
    """Return the folder `node_modules` for the lock file in `tests/npm/NAME`; skip the test if npm fails.

    Install scripts are not run. Treat the folder as read-only, because all tests share it.
    """
    source = _LOCKED / name
    lock = (source / "package-lock.json").read_bytes()
    installed = _CACHE / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not installed.exists():
        _install(source, installed)
    return installed / "node_modules"


def node() -> str:
    """Return the path of node; skip the test if it is not installed."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node: install Node.js")
    return program


def npm() -> str:
    """Return the path of npm; skip the test if it is not installed."""
    program = shutil.which("npm")
    if program is None:
        pytest.skip("no npm: install Node.js")
    return program


def _install(source: Path, target: Path) -> None:
    _CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as made:
        folder = Path(made) / "install"
        folder.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, folder)
        command = [npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode != 0:
            reason = next((line for line in done.stderr.splitlines() if "error" in line), "npm ci failed")
            pytest.skip(f"npm's registry cannot be reached: {reason}")
        try:
            folder.rename(target)
        except OSError:  # another process was faster
            if not target.exists():
                raise
