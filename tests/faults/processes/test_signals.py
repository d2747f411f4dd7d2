"""A signal may arrive at any moment, even while the main thread holds a lock."""

import subprocess
import sys

PROGRAM = """
import os, signal, threading
from telemetry_cli.commands.export import _stop_on_signals
stopping = threading.Event()
_stop_on_signals(stopping.set)
with stopping._cond:  # as in `stopping.wait`
    os.kill(os.getpid(), signal.SIGTERM)
    os.getpid()
assert stopping.wait(30)
print("stopped")
"""


def test_a_signal_does_not_wait_for_the_lock_that_the_main_thread_holds() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
