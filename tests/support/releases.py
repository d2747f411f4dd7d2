"""Copies of data that release 0.1.0 wrote, read with database drivers only."""

import gzip
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from support.programs import Shell

RELEASE = Path(__file__).resolve().parents[1] / "upgrade" / "0.1.0"


@dataclass(frozen=True)
class Written:
    """A copy of a database that a release wrote, and of the release's other files.

    Attributes:
        url: The URL of the database.
        folder: The folder of the files; commands run in it.
    """

    url: str
    folder: Path

    def shell(self, **environment: str) -> Shell:
        """Return a shell that runs the current code with the database."""
        settings = {"TELEMETRY_SETTINGS_FILE": "instance.env", "TELEMETRY_DATABASE_URL": self.url}
        return Shell(self.folder, {**settings, **environment})

    def gateway(self, **environment: str) -> Shell:
        """Return a shell that runs the current code with the gateway's files."""
        return Shell(self.folder, {"TELEMETRY_SETTINGS_FILE": "gateway.env", **environment})

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, executed with the driver only."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(make_url(self.url).database or "")) as connection, connection:
                return connection.execute(statement).fetchall()
        plain = make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain) as other:
            done = other.execute(statement.encode())
            return done.fetchall() if done.description else []

    def ids(self, condition: str) -> set[str]:
        """Return the ids of queue rows that meet a condition."""
        return {str(row[0]) for row in self.rows(f"SELECT id FROM telemetry_events_export_queue WHERE {condition}")}


def lines(shell: Shell, *arguments: str) -> list[dict[str, Any]]:
    """Run a command that must succeed, and return its output lines, parsed as JSON."""
    done = shell.telemetry(*arguments, "--json")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def published(folder: Path) -> list[str]:
    """Return the ids of the events in the sink, from closed files first."""
    closed = [gzip.decompress(path.read_bytes()).decode() for path in sorted(folder.glob("events-*.gz"))]
    open_ones = [path.read_text() for path in [*sorted(folder.glob("events-*.jsonl")), folder / "events.jsonl"]]
    return [json.loads(line)["message"]["event"]["id"] for text in closed + open_ones for line in text.splitlines()]
