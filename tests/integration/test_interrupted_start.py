"""Ctrl-C while the command line is still importing modules, which takes most of a short command's time."""

import subprocess
import sys

# Sends SIGINT to the process when it begins to import the command line.
INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "telemetry_cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, {before})
sys.argv = ["telemetry", "--help"]
from telemetry_cli.command import main
main()
"""


def start(before: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", INTERRUPTED.format(before=before)]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)


def test_ctrl_c_during_imports_ends_the_command_without_a_traceback() -> None:
    done = start("signal.default_int_handler")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_process_started_with_ctrl_c_ignored_keeps_ignoring_it() -> None:
    done = start("signal.SIG_IGN")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Record telemetry events" in done.stdout
