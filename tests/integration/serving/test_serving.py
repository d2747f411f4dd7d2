"""Serving an application over HTTP from a command."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from support.programs import wait_for_line
from telemetry_runtime.extras import MissingExtraError, needs_extra

APP = Path(__file__).with_name("app_to_serve.py")


@contextmanager
def program(mode: str = "plain", listen_addr: str = "127.0.0.1:0") -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([sys.executable, str(APP), listen_addr, mode], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.interpreter
def test_a_signal_waits_for_requests_and_exits_with_0(number: signal.Signals) -> None:
    with program() as process, ThreadPoolExecutor(1) as pool:
        address = wait_for_line(process, r"listening on (\S+)")
        answer = pool.submit(httpx2.get, f"http://{address}/slow", timeout=60)
        wait_for_line(process, r"(busy)")
        process.send_signal(number)
        assert answer.result().text == "done"
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in err


def test_a_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with program(listen_addr=address) as process:
            _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == f"error: cannot listen on {address}: Address already in use\n"


def test_an_address_of_another_machine_is_reported() -> None:
    with program(listen_addr="192.0.2.1:0") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("error: cannot listen on 192.0.2.1:0: ")


def test_a_failed_startup_is_reported_without_the_exception_text() -> None:
    with program("fails") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the application did not start" in err
    assert "CANARY" not in err


def test_a_failed_handler_is_logged_without_the_exception_text() -> None:
    with program() as process:
        address = wait_for_line(process, r"listening on (\S+)")
        assert httpx2.get(f"http://{address}/broken", timeout=60).status_code == 500
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert '"error": "RuntimeError"' in err
    assert "app_to_serve.py:" in err
    assert "CANARY" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("mode", "seen"), [("plain", "127.0.0.1"), ("proxied", "192.0.2.7")])
def test_only_trusted_proxies_can_set_the_forwarded_address(mode: str, seen: str) -> None:
    with program(mode) as process:
        address = wait_for_line(process, r"listening on (\S+)")
        headers = {"x-forwarded-for": "192.0.2.7"}
        assert httpx2.get(f"http://{address}/address", headers=headers, timeout=60).text == seen


REQUEST = b"GET /address HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("sent", [b"", b"G", REQUEST], ids=["nothing", "a letter", "half a head"])
def test_a_connection_without_a_complete_head_is_closed(sent: bytes) -> None:
    with program("hasty") as process:
        host, _, port = wait_for_line(process, r"listening on (\S+)").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(sent)
            assert closed(connection)
        with socket.create_connection((host, int(port)), timeout=60) as kept:
            kept.sendall(REQUEST + b"\r\n")
            await_text(kept, b"127.0.0.1")
            kept.sendall(
                b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
            )  # the response takes longer than the timeout of a head
            await_text(kept, b"done")
            kept.sendall(REQUEST)  # half of the next request
            assert closed(kept)


def await_text(connection: socket.socket, text: bytes) -> None:
    answer = b""
    while text not in answer:
        received = connection.recv(4096)
        assert received
        answer += received


def closed(connection: socket.socket) -> bool:
    """Wait until the server closes the connection; raise on a timeout."""
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_ipv6_addresses_have_brackets() -> None:
    with program(listen_addr="[::1]:0") as process:
        address = wait_for_line(process, r"listening on (\S+)")
        assert address.startswith("[::1]:")
        assert httpx2.get(f"http://{address}/address", timeout=60).text == "::1"


def test_the_error_for_a_missing_extra_says_what_to_install() -> None:
    needed = "no_such_module is not installed: pip install 'telemetry-recorder"
    with pytest.raises(MissingExtraError, match=needed), needs_extra("ingest"):
        __import__("no_such_module")
