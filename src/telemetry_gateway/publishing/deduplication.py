"""Remembers which events were published, for a window that survives a restart.

In a SQLite file of the gateway, which is not a database of the store: it knows no dialects, and needs none.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import orjson

from telemetry_gateway.errors import DeduplicationError

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]
"""Publisher and event id."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS published (
    publisher TEXT NOT NULL, event_id TEXT NOT NULL, published_at REAL NOT NULL,
    PRIMARY KEY (publisher, event_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS published_at ON published (published_at);
CREATE TABLE IF NOT EXISTS sink_position (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), position TEXT NOT NULL);
"""
# One statement a publisher, one parameter whatever the number of ids; the primary key finds each.
_KNOWN: Final = """
SELECT event_id FROM published
WHERE publisher = ? AND event_id IN (SELECT value FROM json_each(?)) AND published_at > ?
"""
_REMEMBER: Final = """
INSERT INTO published (publisher, event_id, published_at) VALUES (?, ?, ?)
ON CONFLICT (publisher, event_id) DO UPDATE SET published_at = excluded.published_at
"""
_MOVE: Final = """
INSERT INTO sink_position (only_row, position) VALUES (1, ?)
ON CONFLICT (only_row) DO UPDATE SET position = excluded.position
"""
_FORGET: Final = """
DELETE FROM published WHERE (publisher, event_id) IN (
    SELECT publisher, event_id FROM published WHERE published_at <= ? ORDER BY published_at LIMIT ?
)
"""
# Of old keys each write deletes at least this many, and more than it adds, so they never pile up.
_FORGET_ROWS: Final = 1_000


class DeduplicationWindow:
    """The keys of published messages, in a SQLite file.

    It is written after the sink: a crash between the two may repeat a message, never lose one.
    What it lost in a crash of the machine the sink tells again, where it can.

    Args:
        path: The file; made when it does not exist.
        window: How long a key is remembered.
        clock: Tells seconds since the epoch.

    Raises:
        DeduplicationError: The file cannot be used.
    """

    def __init__(self, path: Path, window: timedelta, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._window = window.total_seconds()
        self._clock = clock
        self._connection = self._run(self._open)

    def position(self) -> str:
        """Return how far the sink had been written when keys were remembered last; empty if never."""
        row = self._run(lambda: self._connection.execute("SELECT position FROM sink_position").fetchone())
        return str(row[0]) if row else ""

    @property
    def begin(self) -> float:
        """Where the window begins, seconds since the epoch."""
        return self._clock() - self._window

    def known(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of the keys that were published within the window."""
        begin = self.begin
        ids: dict[str, list[str]] = {}
        for publisher, event_id in keys:
            ids.setdefault(publisher, []).append(event_id)

        def looking() -> set[Key]:
            execute = self._connection.execute
            return {
                (publisher, event_id)
                for publisher, some in ids.items()
                for (event_id,) in execute(_KNOWN, (publisher, orjson.dumps(some).decode(), begin))
            }

        return self._run(looking)

    def remember(self, keys: Collection[Key], position: str) -> None:
        """Adds keys of messages that the sink holds durably, and forgets some that are past the window."""
        now = self._clock()

        def remembering() -> None:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_REMEMBER, ((*key, now) for key in keys))
                self._connection.execute(_MOVE, (position,))
                self._connection.execute(_FORGET, (now - self._window, _FORGET_ROWS + 2 * len(keys)))

        self._run(remembering)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        # Used by one thread at a time, not always the same.
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            # Consistent after any crash; what a power cut takes from its end the sink still knows.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            problem = error.sqlite_errorname if hasattr(error, "sqlite_errorname") else type(error).__name__
            raise DeduplicationError(f"{self._path} cannot be used ({problem})") from None
