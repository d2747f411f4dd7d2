"""A ping to servers that work, misbehave or are unavailable."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from support.awkward_server import Answer, awkward_server, drip, hang, reset, status, text
from support.gateway_certificates import CertificateAuthority
from telemetry_pings import EventLogger, InvalidEndpointError
from telemetry_pings.delivery import Deadline, Endpoint

TAKEN = status(204)


class Listener:
    """Collects the reasons why pings were not sent."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, why: str) -> None:
        self.heard.append(why)


@pytest.fixture
def listener() -> Listener:
    return Listener()


def head_and_body(request: bytes) -> tuple[list[str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def test_properties_arrive_as_json() -> None:
    with awkward_server(TAKEN) as server:
        logger = EventLogger(f"http://{server.address}/my-tool/")
        assert logger.log_event({"version": "1.4", "count": 3, "nested": {"name": "gr\u00fcn"}})
        assert logger.log_event({})
    head, body = head_and_body(server.requests[0])
    assert head[0] == "POST /my-tool HTTP/1.1"
    assert f"Host: {server.address}" in head
    assert "Content-Type: application/json" in head
    assert json.loads(body) == {"version": "1.4", "count": 3, "nested": {"name": "gr\u00fcn"}}
    assert head_and_body(server.requests[1])[1] == b"{}"


def test_properties_arrive_in_the_query() -> None:
    with awkward_server(TAKEN) as server:
        logger = EventLogger(f"http://{server.address}?tool=mine", style="query")
        assert logger.log_event({"version": "1.4 beta", "ok": True, "more": {"a": 1}, "n": None})
        assert EventLogger(f"http://{server.address}", style="query").log_event({})
    head, body = head_and_body(server.requests[0])
    assert head[0] == "POST /?tool=mine&version=1.4+beta&ok=true&more=%7B%22a%22%3A1%7D&n=null HTTP/1.1"
    assert "Content-Length: 0" in head
    assert body == b""
    assert head_and_body(server.requests[1])[0][0] == "POST / HTTP/1.1"


@pytest.mark.parametrize(
    ("answer", "arrived"),
    [
        (status(200), True),
        (status(204), True),
        (text(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"), True),
        (text(b"HTTP", b"/1.1 2", b"04 No Content\r", b"\n\r\n"), True),
        (status(302, "Location: http://127.0.0.1:1/elsewhere"), True),
        (status(400), False),
        (status(404), False),
        (status(429), False),
        (status(500), False),
        (status(503), False),
        (reset, False),
        (text(), False),
        (text(b"HTTP/1.1 20"), False),
        (text(b"SSH-2.0-OpenSSH_9.2\r\n"), False),
        (text(b"HTTP/1.1 999999\r\n\r\n"), False),
        (text(b"x" * 100_000), False),
        (text(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000), False),
    ],
)
def test_a_ping_has_arrived_if_the_status_is_below_400(answer: Answer, arrived: bool, listener: Listener) -> None:
    with awkward_server(answer) as server:
        assert EventLogger(f"http://{server.address}", timeout=60, explain=listener).log_event({"a": 1}) is arrived
    assert len(server.requests) == 1  # no redirect was followed, and nothing was retried
    assert bool(listener.heard) is not arrived


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_slow_server_is_limited_by_the_timeout(answer: Answer, listener: Listener) -> None:
    # With a timeout per read, the slow response would go on until the test's own timeout.
    with awkward_server(answer) as server:
        assert not EventLogger(f"http://{server.address}", timeout=0.5, explain=listener).log_event({"a": 1})
        assert not EventLogger(f"http://{server.address}", timeout=60).log_event({"a": 1}, timeout=0.1)
    assert listener.heard[0].startswith("not sent: TimeoutError")


def test_a_server_that_does_not_accept_is_limited_by_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for connection in waiting:  # fills the backlog, so that further connections are not accepted
            connection.setblocking(False)
            connection.connect_ex(address)
        assert not EventLogger("http://{}:{}".format(*address), timeout=0.5).log_event({})
        for connection in waiting:
            connection.close()


def test_an_unavailable_server_raises_no_error(listener: Listener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = "{}:{}".format(*unused.getsockname())
    assert not EventLogger(f"http://{address}", explain=listener).log_event({})
    assert listener.heard[0].startswith("not sent: ConnectionRefusedError")


def test_a_zero_timeout_raises_no_error() -> None:
    assert not EventLogger("http://127.0.0.1:1", timeout=0).log_event({})


def test_an_invalid_host_name_raises_no_error(listener: Listener) -> None:
    assert not EventLogger(f"http://{'x' * 64}.invalid", explain=listener).log_event({})
    assert listener.heard == ["not sent: OSError: the host name is invalid"]


def test_a_failing_or_hanging_lookup_ends_at_the_deadline() -> None:
    def fails(host: str, port: int) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    forever = threading.Event()

    def hangs(host: str, port: int) -> list[Any]:
        forever.wait()
        return []

    with pytest.raises(socket.gaierror):
        Endpoint("http://name/", look_up=fails).deliver(b"", Deadline(60))
    with pytest.raises(TimeoutError, match="lookup"):
        Endpoint("http://name/", look_up=hangs).deliver(b"", Deadline(0.1))
    forever.set()


def test_the_next_address_is_tried_after_a_failure() -> None:
    with awkward_server(TAKEN) as server, socket.create_server(("127.0.0.1", 0)) as unused:
        dead = unused.getsockname()
        unused.close()
        host, port = server.address.split(":")

        def both(_host: str, _port: int) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", each) for each in (dead, (host, int(port)))]

        endpoint = Endpoint("http://name/", look_up=both)
        assert endpoint.deliver(endpoint.request({}, "json"), Deadline(60)) == 204
        with pytest.raises(OSError, match="no address"):
            Endpoint("http://name/", look_up=lambda _host, _port: []).deliver(b"", Deadline(60))


def test_localhost_is_looked_up() -> None:
    with awkward_server(TAKEN) as server:
        assert EventLogger(f"http://localhost:{server.address.split(':')[1]}", timeout=30).log_event({})


@pytest.mark.parametrize("variable", ["DO_NOT_TRACK=1", "SCARF_NO_ANALYTICS=true", "SCARF_ANALYTICS=false"])
def test_the_opt_out_is_checked_on_each_call(variable: str, listener: Listener) -> None:
    name, _, value = variable.partition("=")
    environ: dict[str, str] = {}
    with awkward_server(TAKEN) as server:
        logger = EventLogger(f"http://{server.address}", environ=environ, explain=listener)
        assert logger.log_event({})
        environ[name] = value
        assert not logger.log_event({})
        assert listener.heard == [f"the user opted out: {name}"]
        del environ[name]
        assert logger.log_event({})
    assert len(server.requests) == 2


def test_the_opt_out_is_read_from_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with awkward_server(TAKEN) as server:
        logger = EventLogger(f"http://{server.address}")
        monkeypatch.setenv("DO_NOT_TRACK", "1")
        assert not logger.log_event({})
    assert server.requests == []


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("SECRET")


@pytest.mark.parametrize(
    "properties", [{"a": Unspeakable()}, {"a": float("nan")}, {"a": "x" * 70_000}, None, "text", {"a": b"bytes"}, 5]
)
@pytest.mark.parametrize("style", ["json", "query"])
def test_properties_that_cannot_be_sent_raise_no_error(properties: Any, style: Any, listener: Listener) -> None:
    assert not EventLogger("http://127.0.0.1:1", style=style, explain=listener).log_event(properties)
    assert listener.heard[0].startswith("the properties cannot be sent: ")
    assert "SECRET" not in listener.heard[0]


def test_a_failing_explain_callback_raises_no_error() -> None:
    def explain(why: str) -> None:
        raise RuntimeError(why)

    assert not EventLogger("http://127.0.0.1:1", explain=explain).log_event({})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1",
        "ftp://127.0.0.1/",
        "http://",
        "http://:80/",
        "http://h:99999/",
        "http://h:0/",
        "http://h:x/",
        "http://[::1/",
        "http://user:secret@h/",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://gr\u00fcn/",
        None,
    ],
)
def test_an_invalid_endpoint_raises_an_error(url: Any) -> None:
    with pytest.raises(InvalidEndpointError) as caught:
        EventLogger(url)
    assert "secret" not in str(caught.value)


def test_once_sends_equal_pings_once(listener: Listener) -> None:
    with awkward_server(TAKEN) as server:
        url = f"http://{server.address}/once"
        results: list[bool] = []
        threads = [
            threading.Thread(target=lambda: results.append(EventLogger(url, 30).log_event({"a": 1}, once=True)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False] * 7 + [True]
        assert EventLogger(url).log_event({"a": 2}, once=True)
        assert EventLogger(url).log_event({"a": 1})
        assert not EventLogger(url, explain=listener).log_event({"a": 1}, once=True)
        assert listener.heard == ["already sent by this process"]
        child = os.fork()
        if child == 0:
            sent = EventLogger(url).log_event({"a": 1}, once=True)
            os._exit(0 if sent and not EventLogger(url).log_event({"a": 1}, once=True) else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert len(server.requests) == 4


def test_a_keyboard_interrupt_is_propagated() -> None:
    code = """
import sys
from telemetry_pings import EventLogger
try:
    EventLogger(sys.argv[1], timeout=3600).log_event({})
except KeyboardInterrupt:
    print("interrupted")
"""
    with awkward_server(hang) as server:
        command = [sys.executable, "-c", code, f"http://{server.address}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            server.wait_for(1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (out, err) == ("interrupted\n", "")


def test_a_lookup_can_be_interrupted() -> None:
    code = """
import sys, threading
from telemetry_pings.delivery import Deadline, Endpoint
def hangs(host, port):
    print("looking", flush=True)
    threading.Event().wait()
try:
    Endpoint("http://name", look_up=hangs).deliver(b"", Deadline(3600))
except KeyboardInterrupt:
    print("interrupted")
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)  # the hanging thread does not delay the exit
    assert (out, err) == ("interrupted\n", "")


def test_https_requires_a_valid_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    authority = CertificateAuthority(tmp_path)
    certificate, key = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    with awkward_server(TAKEN, tls=context) as server:
        url = f"https://{server.address}"
        assert not EventLogger(url, 30, explain=listener).log_event({"a": 1})
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        logger = EventLogger(url, 30)
        assert logger.log_event({"a": 1})
        assert logger.log_event({"a": 1})
    assert listener.heard[0].startswith("not sent: SSLCertVerificationError")
    assert len(server.requests) == 2


def test_a_hanging_handshake_is_limited_by_the_timeout(listener: Listener) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "https://{}:{}".format(*silent.getsockname())
        assert not EventLogger(url, timeout=0.3, explain=listener).log_event({})
    assert listener.heard[0].startswith("not sent: TimeoutError")


def test_nothing_is_printed() -> None:
    code = """
from telemetry_pings import EventLogger
for url in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
    assert not EventLogger(url).log_event({"a": object()})
    assert not EventLogger(url).log_event({})
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
