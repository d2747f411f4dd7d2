"""Run the command line in another process, as users do.

`TELEMETRY_TEST_COLD=1` starts each command as a new process; without it, short commands are forked from a process that
has already done the imports.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from support.warm_commands import run_warm

PROGRAM = (sys.executable, "-m", "telemetry_cli.main")
COLD = os.environ.get("TELEMETRY_TEST_COLD") == "1"


@dataclass(frozen=True)
class Result:
    """The result of a command."""

    code: int
    out: str
    err: str


class Shell:
    """A folder and an environment to run commands in."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")}
        self.environment = {**kept, "COLUMNS": "200", **environment}

    def telemetry(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Result:
        """Run a command to its end, in a forked process unless that would make a difference."""
        settings = {**self.environment, **(environment or {})}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            if COLD or _python_settings(settings) != _python_settings(os.environ):
                code = subprocess.run(
                    [*PROGRAM, *arguments],
                    cwd=self.folder,
                    env=settings,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    timeout=60,
                    check=False,
                ).returncode
            else:
                code = run_warm(arguments, cwd=self.folder, environment=settings, out=out, err=err)
            return Result(code, _written(out), _written(err))

    @contextmanager
    def background(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        with subprocess.Popen(
            [*PROGRAM, *arguments], cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate()

    @contextmanager
    def gateway(self, *arguments: str) -> Iterator[str]:
        """Run a gateway; yield its address as exporters expect it, and drain it at the end."""
        with self.background("gateway", "serve", "--listen", "127.0.0.1:0", *arguments) as process:
            address = wait_for_line(process, r"listening on (\S+)")
            yield f"http://{address}"
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
            assert process.returncode == 0

    @contextmanager
    def ingest(self, *arguments: str) -> Iterator[str]:
        """Run an ingest service; yield its URL, and drain it at the end."""
        with self.background("ingest", "serve", "--listen", "127.0.0.1:0", *arguments) as process:
            address = wait_for_line(process, r"listening on (\S+)")
            yield f"http://{address}"
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0
            assert "Traceback" not in err


def _python_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the interpreter reads when it starts, or that change what it imports."""
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


def _written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def wait_for_line(process: "subprocess.Popen[str]", pattern: str) -> str:
    """Return the first group of the first line of standard error that matches."""
    assert process.stderr is not None
    seen = []
    deadline = time.monotonic() + 30
    for line in process.stderr:
        seen.append(line)
        if found := re.search(pattern, line):
            return found.group(1)
        assert time.monotonic() < deadline
    raise AssertionError(f"no line like {pattern!r} in {seen}")
