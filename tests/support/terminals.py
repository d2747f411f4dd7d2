"""Run a command in a terminal: its output and the effect of Ctrl-C."""

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
# The terminal becomes the controlling terminal of the command, so that Ctrl-C reaches it.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True)
class TerminalResult:
    """The result of a command in a terminal.

    Attributes:
        code: The exit status.
        screen: All output to the terminal, including escape sequences.
    """

    code: int
    screen: str


def run_in_terminal(
    shell: Shell, *arguments: str, when: Callable[[str], bool] | None = None, answer: str = CTRL_C
) -> TerminalResult:
    """Run a command with a terminal as its standard streams.

    Args:
        shell: The shell that runs the command.
        arguments: The arguments of the command.
        when: Called with the output so far; when it returns true, `answer` is typed.
        answer: The text to type; by default Ctrl-C.
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
                # Python may miss a Ctrl-C just before it starts to read, so it is sent again.
                typing_at = time.monotonic() + 5 if answer == CTRL_C else float("inf")
        return TerminalResult(process.wait(timeout=_PATIENCE), screen.decode(errors="replace"))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(ours)
