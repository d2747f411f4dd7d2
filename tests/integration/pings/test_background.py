"""Pings in the background: they delay neither the caller nor the exit of the process."""

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
    """Return the property `n` of the received pings."""
    return [json.loads(request.partition(b"\r\n\r\n")[2])["n"] for request in server.requests]


def test_pings_arrive_in_order_and_flush_waits_for_them() -> None:
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert logger.flush(0)  # the queue is empty
        assert all(logger.log_event({"n": number}) for number in range(20))
        assert logger.flush(PATIENCE)
        assert numbers(server) == list(range(20))
        assert logger.log_event({"n": 20})  # the first thread had ended; a second one starts
        assert logger.flush(PATIENCE)
        assert numbers(server)[-1] == 20


def test_a_caller_never_waits_and_excess_pings_are_dropped() -> None:
    heard: list[str] = []
    with awkward_server(hang) as server:
        single = EventLogger(f"http://{server.address}", timeout=3600, explain=heard.append)
        logger = BackgroundEventLogger(single, capacity=3, exit_timeout=0)
        assert [logger.log_event({"n": number}) for number in range(5)] == [True, True, True, False, False]
        assert not logger.flush(0.1)
        server.wait_for(1)
    assert heard[0] == "too many pings are queued, or Python is exiting"
    assert logger.flush(PATIENCE)  # the server is closed, so every ping was attempted


def test_properties_are_serialised_by_the_call() -> None:
    properties = {"n": 1}
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert logger.log_event(properties)
        properties["n"] = 2
        assert logger.flush(PATIENCE)
        assert numbers(server) == [1]
    assert not logger.log_event({"n": object()})


def test_once_queues_equal_pings_once() -> None:
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert [logger.log_event({"n": 1}, once=True) for _ in range(3)] == [True, False, False]
        assert logger.flush(PATIENCE)
        assert numbers(server) == [1]


class Time:
    """A clock that advances when `sleep` is called."""

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


def test_a_ping_is_retried_every_hour_until_it_is_sent() -> None:
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
        hours.now += 50  # the attempt takes some time
        return hours.now

    with awkward_server(status(503), TAKEN) as server:
        logger = BackgroundEventLogger(
            EventLogger(f"http://{server.address}", 30), retry_interval=3600, clock=slow_clock, sleep=hours.sleep
        )
        assert logger.log_event({"n": 1})
        server.wait_for(2)
        assert logger.flush(PATIENCE)
    assert hours.slept == [3550.0]


def test_a_rejected_ping_is_not_retried() -> None:
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


def test_without_an_interval_there_is_one_attempt() -> None:
    with awkward_server(status(503), TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert logger.log_event({"n": 1})
        assert logger.flush(PATIENCE)
        assert numbers(server) == [1]


def test_an_opt_out_before_a_retry_is_respected() -> None:
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
def test_a_forked_child_sends_only_its_own_pings() -> None:
    with awkward_server(hang, TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 3600), exit_timeout=0)
        assert logger.log_event({"n": 1})
        assert logger.log_event({"n": 2})  # queued behind the one that hangs
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
    """Run a program that sends a ping and exits; return its output. Hangs if the program hangs."""
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


def test_exit_waits_for_pings_that_were_not_attempted() -> None:
    with awkward_server(TAKEN) as server:
        assert end(server, 60) == ""
        assert numbers(server) == [1]


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_slow_server_does_not_delay_the_exit(answer: Callable[..., None]) -> None:
    # The logger's timeout is a day: only the exit timeout ends this program.
    with awkward_server(answer) as server:
        assert end(server, 0.3) == ""
        server.wait_for(1)


def test_a_retry_does_not_delay_the_exit() -> None:
    # Both waits are a day here: the exit does not wait for a retry.
    with awkward_server(status(503)) as server:
        assert end(server, 86400, options="retry_interval=86400") == ""
        assert numbers(server) == [1]


def test_a_ping_at_exit_raises_no_error() -> None:
    with awkward_server(TAKEN) as server:
        late = "import atexit; atexit.register(lambda: logger.log_event({'n': 2}))"
        assert end(server, 60, after=late) == ""
        assert numbers(server)[0] == 1


def test_a_lookup_in_a_daemon_thread_works_at_exit() -> None:
    # Since Python 3.12 threads cannot be started at exit.
    with awkward_server(TAKEN) as server:
        refuse = "import threading; start = threading.Thread.start\n"
        refuse += "def refusing(self):\n    if 'dns' in self.name: raise RuntimeError('ends')\n    start(self)\n"
        refuse += "threading.Thread.start = refusing"
        code = SENDS.format(options="", before=refuse, after="assert logger.flush(60)\nassert not direct(sys.argv[1])")
        code = code.replace("import sys", "import sys\ndirect = lambda url: EventLogger(url).log_event({'n': 2})", 1)
        url = f"http://localhost:{server.address.split(':')[1]}"
        subprocess.run([sys.executable, "-c", code, url, "60"], timeout=90, check=True)
        assert numbers(server) == [1]


def test_a_ping_is_dropped_if_no_thread_can_be_started() -> None:
    # As at exit, since Python 3.12.
    with awkward_server(TAKEN) as server:
        refuse = "import threading\ndef refusing(self): raise RuntimeError('ends')\nthreading.Thread.start = refusing"
        late = f"{refuse}\nassert logger.flush(60)\nassert not logger.log_event({{'n': 2}})\nassert logger.flush(0)"
        assert end(server, 60, after=late) == ""
        assert numbers(server) == [1]


def test_the_thread_ends_when_the_queue_is_empty() -> None:
    with awkward_server(TAKEN) as server:
        logger = BackgroundEventLogger(EventLogger(f"http://{server.address}", 30))
        assert not [thread for thread in threading.enumerate() if thread.name == "telemetry-pings"]
        assert logger.log_event({"n": 1})
        assert logger.flush(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while [thread for thread in threading.enumerate() if thread.name == "telemetry-pings"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
