"""The command line in forked processes: a short command spends most of its time on imports.

Each worker of the suite has one process that has imported what commands import, and forks for each command. The fork
gets the command's environment, folder and streams, and ends like any process. It imports the modules of the command
line itself after the fork, because they read the environment on import.
"""

import atexit
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, NoReturn

# Without gRPC: it does not support forks.
_IMPORTED: Final = (
    "alembic.command", "apscheduler.schedulers.background", "authlib.oauth2", "cryptography.x509",
    "google.protobuf.json_format", "httpx2", "joserfc.jwt", "orjson", "prometheus_client", "psycopg",
    "pydantic_settings", "rich.console", "rich.markdown", "rich.table", "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite", "structlog", "typer",
    "telemetry", "telemetry_store.database", "telemetry_store.migrations", "recorder",
)  # fmt: skip
_MESSAGE: Final = 1 << 20


class WarmCommands:
    """Runs commands in forks of one process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=Path(__file__).resolve().parents[1],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket = ours

    def run(
        self, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], out: IO[bytes], err: IO[bytes]
    ) -> int:
        """Run a command to its end; return its exit status, negative for the signal that ended it."""
        request = json.dumps({"arguments": arguments, "cwd": str(cwd), "environment": dict(environment)})
        socket.send_fds(self._socket, [request.encode()], [out.fileno(), err.fileno()])
        answer = self._socket.recv(_MESSAGE)
        if not answer:
            raise RuntimeError("the process that runs commands has ended")
        return int(answer)

    def close(self) -> None:
        """End the process, and a command that is still running."""
        self._socket.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


_STARTED: Final[dict[int, WarmCommands]] = {}


def run_warm(
    arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> int:
    """Run a command in a fork of this worker's helper process; see `WarmCommands.run`."""
    helper = _STARTED.get(os.getpid())
    if helper is None:
        helper = _STARTED[os.getpid()] = WarmCommands()
        atexit.register(_end, os.getpid())
    try:
        return helper.run(arguments, cwd=cwd, environment=environment, out=out, err=err)
    except BaseException:
        _end(os.getpid())  # the test timed out: the next command must not read this command's answer
        raise


def _end(pid: int) -> None:
    helper = _STARTED.pop(pid, None) if pid == os.getpid() else None
    if helper is not None:
        helper.close()


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return the request in the fork, and None in this process at the end."""
    while True:
        text, descriptors, *_ = socket.recv_fds(requests, _MESSAGE, 2)
        if not text:
            return None
        child = os.fork()
        if child == 0:
            requests.close()
            for stream, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, stream)
                os.close(descriptor)
            request: dict[str, Any] = json.loads(text)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        requests.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: Mapping[str, Any]) -> NoReturn:
    """Turn this process into the command, and run it."""
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["cwd"])
    if "coverage" in sys.modules:
        coverage: Any = importlib.import_module("coverage.control")
        coverage._after_fork_in_child()  # what coverage's own fork patch does
    sys.modules["__main__"].__package__ = ""  # so that the program's name is not this module's
    sys.argv = ["telemetry", *request["arguments"]]
    command: Any = importlib.import_module("telemetry_cli.command")
    sys.exit(command.main())


def main() -> None:
    """Import what commands import, then fork until the socket is closed."""
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        for name in _IMPORTED:
            importlib.import_module(name)
        request = _serve(requests)
    if request is not None:
        _become(request)


if __name__ == "__main__":
    main()
