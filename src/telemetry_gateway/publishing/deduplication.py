"""The deduplication window: remembers which events were published, also across restarts.

It is a SQLite file of the gateway, not a database of the store, so it does not use the store's dialects.
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
# One statement per publisher; the ids are a single JSON parameter, and each is looked up by the primary key.
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
# The least number of expired keys that a write deletes. Each write deletes more keys than it adds.
_FORGET_ROWS: Final = 1_000


class DeduplicationWindow:
    """The keys of published messages, in a SQLite file.

    The file is written after the sink: a crash between the two writes can repeat a message, but never lose one. Keys
    that a crash of the machine loses are read from the sink again, if the sink supports it.

    Args:
        path: The file; created if it does not exist.
        window: How long to remember a key.
        clock: Returns the time in seconds since the epoch.

    Raises:
        DeduplicationError: The file cannot be used.
    """

    def __init__(self, path: Path, window: timedelta, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._window = window.total_seconds()
        self._clock = clock
        self._connection = self._run(self._open)

    def position(self) -> str:
        """Return the sink's position at the last write of the window, or an empty string."""
        row = self._run(lambda: self._connection.execute("SELECT position FROM sink_position").fetchone())
        return str(row[0]) if row else ""

    @property
    def begin(self) -> float:
        """The time at which the window begins, in seconds since the epoch."""
        return self._clock() - self._window

    def known(self, keys: Iterable[Key]) -> set[Key]:
        """Return the keys that were published within the window."""
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
        """Add the keys of messages that the sink stores durably, and delete some expired ones."""
        now = self._clock()

        def remembering() -> None:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_REMEMBER, ((*key, now) for key in keys))
                self._connection.execute(_MOVE, (position,))
                self._connection.execute(_FORGET, (now - self._window, _FORGET_ROWS + 2 * len(keys)))

        self._run(remembering)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        # One thread at a time uses the connection, but not always the same thread.
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            # Stays consistent after any crash. The last writes, which a power cut can lose, are read from the sink.
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
