"""A PostgreSQL server of a test's own, to be killed and started again on what it left on the disk."""

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
    """A server from a wheel, as a child of this process.

    Attributes:
        url: Its database.
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
        # Not among pytest's folders: they are closed to the user that the server runs as.
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
        """Return its database's URL, with our tables in it."""
        engine = create_database_engine(self.url)
        upgrade_database(engine)
        engine.dispose()
        return self.url

    def kill(self, *, whole: bool, chance: random.Random) -> None:
        """Kills it, or one of the processes that serve a connection: the server then ends the others and recovers."""
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
        """Starts it again on the same data, if it is down, and waits until it takes connections."""
        time.sleep(after)
        self._wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        # The folder of the data is that of the socket; nothing listens on an address.
        folder = str(self._data)
        command = [str(self._program), "-D", folder, "-k", folder, "-h", "", "-c", "shared_buffers=16MB"]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, user=self._user, stdout=log, stderr=log)

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            # What served connections notices after a moment that its server is gone; until then none can start.
            if self._process.poll() is not None:
                self._process = self._start()
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < end, self._log.read_text()[-2_000:]
                time.sleep(0.05)
            else:
                return
