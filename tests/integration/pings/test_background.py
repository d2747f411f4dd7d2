"""Pings in the background: they hold nobody up, not even the end of the process."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from support.awkward_server import AwkwardServer, awkward_server, drip, hang, reset, status
from telemetry_pings import BackgroundEventLogger, EventLogger

TAKEN = status(204)
PATIENCE = 30


def numbers(server: AwkwardServer) -> list[int]:
    """Returns the property `n` of what arrived."""
    return [json.loads(request.partition(b"\r\n\r\n")[2])["n"] for request in server.requests]


def test_pings_arrive_in_order_and_flush_waits_for_them() -> None:
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert logger.flush(0)  # nothing waits
        assert all(logger.log_event({"n": number}) for number in range(20))
        assert logger.flush(PATIENCE)
        assert numbers(server) == list(range(20))
        assert logger.log_event({"n": 20})  # the thread had ended; there is another one
        assert logger.flush(PATIENCE)
        assert numbers(server)[-1] == 20


def test_a_caller_waits_for_no_server_and_what_finds_no_room_is_dropped() -> None:
    heard: list[str] = []
    with awkward_server(hang) as server:
        single = EventLogger(f"http://{server.address}", timeout=3600, explain=heard.append)
        logger = BackgroundEventLogger(single, capacity=3, exit_timeout=0)
        assert [logger.log_event({"n": number}) for number in range(5)] == [True, True, True, False, False]
        assert not logger.flush(0.1)
        server.wait_for(1)
    assert heard[0] == "too many pings wait, or Python ends"
    assert logger.flush(PATIENCE)  # the server is gone, so every ping was tried


def test_properties_are_read_at_the_call() -> None:
    properties = {"n": 1}
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert logger.log_event(properties)
        properties["n"] = 2
        assert logger.flush(PATIENCE)
        assert numbers(server) == [1]
    assert not logger.log_event({"n": object()})


def test_of_equal_pings_one_is_taken_where_one_is_wanted() -> None:
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert [logger.log_event({"n": 1}, once=True) for _ in range(3)] == [True, False, False]
        assert logger.flush(PATIENCE)
        assert numbers(server) == [1]


class Time:
    """Time that passes when somebody sleeps."""

    def __init__(self, before_waking: Callable[[], None] = lambda: None) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._before_waking = before_waking

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self._before_waking()


def test_a_ping_is_retried_each_hour_until_it_is_sent() -> None:
    hours = Time()
    with awkward_server(status(503), reset, status(429), TAKEN) as server:
        logger = BackgroundEventLogger(
            EventLogger(f"http://{server.address}", 30),
            retry_interval=BackgroundEventLogger.HOURLY,
            clock=hours.clock,
            sleep=hours.sleep,
        )
        assert logger.log_event({"n": 1})
        assert logger.log_event({"n": 2})
        server.wait_for(5)
        assert logger.flush(PATIENCE)
    assert numbers(server) == [1, 1, 1, 1, 2]
    assert hours.slept == [3600.0] * 3


def test_the_interval_is_from_attempt_to_attempt() -> None:
    hours = Time()

    def slow_clock() -> float:
        hours.now += 50  # an attempt takes its time
        return hours.now

    with awkward_server(status(503), TAKEN) as server:
        logger = BackgroundEventLogger(
            EventLogger(f"http://{server.address}", 30), retry_interval=3600, clock=slow_clock, sleep=hours.sleep
        )
        assert logger.log_event({"n": 1})
        server.wait_for(2)
        assert logger.flush(PATIENCE)
    assert hours.slept == [3550.0]


def test_what_is_refused_for_good_is_not_retried_and_holds_up_nothing() -> None:
    hours = Time()
    with awkward_server(status(400), TAKEN) as server:
        logger = BackgroundEventLogger(
            EventLogger(f"http://{server.address}", 30), retry_interval=3600, clock=hours.clock, sleep=hours.sleep
        )
        assert logger.log_event({"n": 1})
        assert logger.log_event({"n": 2})
        assert logger.flush(PATIENCE)
        assert numbers(server) == [1, 2]
    assert hours.slept == []


def test_one_attempt_is_all_without_an_interval() -> None:
    with awkward_server(status(503), TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert logger.log_event({"n": 1})
        assert logger.flush(PATIENCE)
        assert numbers(server) == [1]


def test_a_user_who_opts_out_meanwhile_is_heard() -> None:
    environ: dict[str, str] = {}
    hours = Time(before_waking=lambda: environ.update(DO_NOT_TRACK="1"))
    with awkward_server(status(503), TAKEN) as server:
        logger = BackgroundEventLogger(
            EventLogger(f"http://{server.address}", 30, environ=environ),
            retry_interval=3600,
            clock=hours.clock,
            sleep=hours.sleep,
        )
        assert logger.log_event({"n": 1})
        deadline = time.monotonic() + PATIENCE
        while not hours.slept:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert logger.flush(PATIENCE)
        assert not logger.log_event({"n": 2})
        assert numbers(server) == [1]


@pytest.mark.interpreter
def test_a_forked_child_sends_its_own_pings_and_not_its_parents() -> None:
    with awkward_server(hang, TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 3600), exit_timeout=0)
        assert logger.log_event({"n": 1})
        assert logger.log_event({"n": 2})  # waits behind the one that hangs
        server.wait_for(1)
        child = os.fork()
        if child == 0:
            sent = logger.log_event({"n": 3}) and logger.flush(PATIENCE)
            os._exit(0 if sent else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert numbers(server) == [1, 3]


SENDS = """
import sys
from telemetry_pings import BackgroundEventLogger, EventLogger
logger = BackgroundEventLogger(EventLogger(sys.argv[1], timeout=86400), exit_timeout=float(sys.argv[2]), {options})
{before}
assert logger.log_event({{"n": 1}})
{after}
"""


def end(server: AwkwardServer, exit_timeout: float, *, options: str = "", before: str = "", after: str = "") -> str:
    """Runs a program that sends a ping and ends; returns what it printed. Hangs with it."""
    code = SENDS.format(options=options, before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, f"http://{server.address}", str(exit_timeout)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_end_of_the_process_waits_for_what_was_not_tried() -> None:
    with awkward_server(TAKEN) as server:
        assert end(server, 60) == ""
        assert numbers(server) == [1]


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_server_that_takes_its_time_does_not_hold_up_the_end(answer: Callable[..., None]) -> None:
    # The logger's timeout is a day: only the bound at exit lets this program end.
    with awkward_server(answer) as server:
        assert end(server, 0.3) == ""
        server.wait_for(1)


def test_a_retry_does_not_hold_up_the_end() -> None:
    # Both waits are a day here: a ping that rests until its retry is not waited for.
    with awkward_server(status(503)) as server:
        assert end(server, 86400, options="retry_interval=86400") == ""
        assert numbers(server) == [1]


def test_a_ping_while_python_ends_is_no_error() -> None:
    with awkward_server(TAKEN) as server:
        late = "import atexit; atexit.register(lambda: logger.log_event({'n': 2}))"
        assert end(server, 60, after=late) == ""
        assert numbers(server)[0] == 1


def test_a_look_up_by_a_daemon_thread_goes_on_while_python_ends() -> None:
    # New threads cannot be started then, from Python 3.12 on.
    with awkward_server(TAKEN) as server:
        refuse = "import threading; start = threading.Thread.start\n"
        refuse += "def refusing(self):\n    if 'dns' in self.name: raise RuntimeError('ends')\n    start(self)\n"
        refuse += "threading.Thread.start = refusing"
        code = SENDS.format(options="", before=refuse, after="assert logger.flush(60)\nassert not direct(sys.argv[1])")
        code = code.replace("import sys", "import sys\ndirect = lambda url: EventLogger(url).log_event({'n': 2})", 1)
        url = f"http://localhost:{server.address.split(':')[1]}"
        subprocess.run([sys.executable, "-c", code, url, "60"], timeout=90, check=True)
        assert numbers(server) == [1]


def test_a_ping_that_no_thread_can_be_started_for_is_dropped() -> None:
    # As from Python 3.12 on, when it ends.
    with awkward_server(TAKEN) as server:
        refuse = "import threading\ndef refusing(self): raise RuntimeError('ends')\nthreading.Thread.start = refusing"
        late = f"{refuse}\nassert logger.flush(60)\nassert not logger.log_event({{'n': 2}})\nassert logger.flush(0)"
        assert end(server, 60, after=late) == ""
        assert numbers(server) == [1]


def test_no_thread_is_left_when_nothing_is_to_be_sent() -> None:
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert not [thread for thread in threading.enumerate() if thread.name == "telemetry-pings"]
        assert logger.log_event({"n": 1})
        assert logger.flush(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while [thread for thread in threading.enumerate() if thread.name == "telemetry-pings"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
