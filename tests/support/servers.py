"""Web servers in separate processes."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def web_server(
    module: str, *arguments: str, environment: Mapping[str, str], folder: Path, patience: float = 60
) -> Iterator[str]:
    """Run `python -m module`, and yield the address that it prints, `http://host:port`.

    Args:
        module: The server's module, for example `uvicorn`.
        *arguments: Its arguments, which must set port 0, so that it listens on a free port.
        environment: Variables in addition to the environment of this process.
        folder: The working directory.
        patience: The timeout of the start in seconds.
    """
    log = folder / f"{module}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield _address(process, log, patience)
            process.terminate()
            process.wait(20)
        finally:
            process.kill()


def _address(process: "subprocess.Popen[bytes]", log: Path, patience: float) -> str:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := re.search(r"https?://127\.0\.0\.1:[1-9]\d*", log.read_text()):
            return found.group()
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"the server did not print its address: {log.read_text()}")
