"""A PostgreSQL server for one test, which can be killed and restarted with the same data directory."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from support.wheel_postgres import server_from_wheel
from telemetry_store.engine import create_database_engine
from telemetry_store.migrations import upgrade_database

_PATIENCE = 120.0


class KillablePostgres:
    """A server from a wheel, as a child process.

    Attributes:
        url: The URL of its database.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        made = server_from_wheel(self._data, start=False)
        made.ensure_pgdata_inited()
        self._program: Path = made.bin_path / "postgres"
        self._user: str | None = made.system_user  # PostgreSQL does not run as root
        self._log = folder / "log"
        self.url = f"postgresql://postgres@/postgres?host={self._data}"
        self._process = self._start()

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["KillablePostgres"]:
        # Not in pytest's folders, because the server's user has no access to them.
        folder = Path(tempfile.mkdtemp(prefix="telemetry-killable-"))
        try:
            server = cls(folder)
            try:
                server._wait()
                yield server
            finally:
                server._process.kill()
                server._process.wait()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def migrated_url(self) -> str:
        """Return the URL of its database, with the project's tables."""
        engine = create_database_engine(self.url)
        upgrade_database(engine)
        engine.dispose()
        return self.url

    def kill(self, *, whole: bool, chance: random.Random) -> None:
        """Kill the server, or one process that serves a connection; the server then ends the others and recovers."""
        if whole:
            self._process.kill()
            self._process.wait()
            return
        with psycopg.connect(self.url) as connection:
            serving = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchall()
        if serving:
            os.kill(chance.choice(serving)[0], signal.SIGKILL)

    def start_again(self, *, after: float) -> None:
        """Restart it with the same data if it is down, and wait until it accepts connections."""
        time.sleep(after)
        self._wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        # The socket is in the data directory; the server listens on no TCP address.
        folder = str(self._data)
        command = [str(self._program), "-D", folder, "-k", folder, "-h", "", "-c", "shared_buffers=16MB"]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, user=self._user, stdout=log, stderr=log)

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            # Processes that served connections end some time after the server; until then no server can start.
            if self._process.poll() is not None:
                self._process = self._start()
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < end, self._log.read_text()[-2_000:]
                time.sleep(0.05)
            else:
                return
