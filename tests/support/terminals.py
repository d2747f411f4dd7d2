"""A command at a terminal: what a person sees, and what Ctrl-C does."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from support.programs import PROGRAM, Shell

_PATIENCE = 90
CTRL_C = "\x03"
# The terminal becomes the command's own, so that Ctrl-C reaches it.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Seen:
    """What a person saw.

    Attributes:
        code: How the command ended.
        screen: All that was written to the terminal, escape sequences included.
    """

    code: int
    screen: str


def at_terminal(shell: Shell, *arguments: str, when: Callable[[str], bool] | None = None, answer: str = CTRL_C) -> Seen:
    """Runs a command with a terminal for its three streams.

    Args:
        shell: Where.
        arguments: The command's.
        when: Asked with what is on the screen so far; once it says yes, `answer` is typed.
        answer: What is typed; Ctrl-C by default.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL, *PROGRAM[1:], *arguments],
        cwd=shell.folder,
        env={**shell.environment, "TERM": "xterm-256color", "COLUMNS": "80"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen = b""
    deadline = time.monotonic() + _PATIENCE
    typing_at = 0.0
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([ours], [], [], 0.1)
            if ready:
                try:
                    more = os.read(ours, 65_536)
                except OSError:  # the other end is closed
                    break
                if not more:
                    break
                screen += more
            if when is not None and time.monotonic() >= typing_at and when(screen.decode(errors="replace")):
                os.write(ours, answer.encode())
                # Python may be just about to read and miss a Ctrl-C; a person presses it again.
                typing_at = time.monotonic() + 5 if answer == CTRL_C else float("inf")
        return Seen(process.wait(timeout=_PATIENCE), screen.decode(errors="replace"))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(ours)
