"""The log of the command line: lines on standard error, in a form that pipelines of operators read."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import telemetry_cli
from telemetry.logger import get_logger
from telemetry_cli.log_lines import PACKAGES, log_to_stderr

SOURCE = Path(telemetry_cli.__file__).parents[1]
NOT_LOADED = {"pytest_telemetry", "telemetry_django", "telemetry_pings", "telemetry_testing"}
"""Packages that no command loads."""
LINES = """
import logging, sys
from telemetry.logger import get_logger
from telemetry_cli.log_lines import log_to_stderr
log_to_stderr()
log_to_stderr(logging.INFO)  # as in a command that serves
log = get_logger("export.exporter")
log.log(logging.DEBUG, "below the level")
assert "structlog" not in sys.modules
for number in (1, 2):
    log.info("export pass", request_id=f"r{number}", left=None)
log.log(logging.DEBUG, "below the level")
get_logger("recorder.best_effort").error("event not recorded")
assert "structlog" in sys.modules
"""
TWO_THREADS = """
import logging
from telemetry.logger import get_logger
from telemetry_cli.log_lines import log_to_stderr
log_to_stderr(logging.INFO)
get_logger("export.jobs").info("export jobs started")
logging.getLogger("export.exporter").info("export pass")  # the way of the other thread
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_package_that_a_command_loads_is_logged() -> None:
    packages = {file.parent.name for file in SOURCE.glob("*/__init__.py")}
    assert set(PACKAGES) == packages - NOT_LOADED


def test_json_lines_outside_of_a_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, text=True, timeout=120, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert [line.pop("timestamp")[-1] for line in lines] == ["Z"] * 3
    assert [list(line.items()) for line in lines] == [
        [("request_id", "r1"), ("left", None), ("event", "export pass"), ("level", "info")],
        [("request_id", "r2"), ("left", None), ("event", "export pass"), ("level", "info")],
        [("event", "event not recorded"), ("level", "error")],
    ]


def test_a_line_of_another_thread_is_printed_while_structlog_is_loaded() -> None:
    # A thread may have looked for handlers just before the thread of the first line configures structlog.
    done = subprocess.run([sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, timeout=120, check=True)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events == ["export jobs started", "export pass"]


def test_readable_lines_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    log_to_stderr()
    get_logger("recorder.best_effort").error("event not recorded", feature="search")
    get_logger("recorder.best_effort").info("below the level")
    shown = terminal.getvalue()
    assert "event not recorded" in shown
    assert "search" in shown
    assert shown.count("\n") == 1


def test_a_second_command_in_a_process_has_its_own_level(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(logging.INFO)
    log_to_stderr()
    get_logger("export.exporter").info("export pass")
    get_logger("export.exporter").warning("export pass")
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == ["warning"]


def test_a_standard_error_that_fails_does_not_stop_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr("sys.stderr", closed)
    log_to_stderr()
    closed.close()
    get_logger("recorder.best_effort").error("event not recorded")
