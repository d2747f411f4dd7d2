"""SQLite connections that cannot be used are closed at once: Python 3.13 and later warn of those that are not."""

import sqlite3
from pathlib import Path

import pytest

from telemetry_store.dialects.sqlite import _set_up


def test_a_connection_that_cannot_be_set_up_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "telemetry.db"
    file.write_bytes(b"not a database, but a text that is long enough to be read as a header " * 20)
    connection = sqlite3.connect(file)

    with pytest.raises(sqlite3.DatabaseError):
        _set_up(connection, None)

    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")
