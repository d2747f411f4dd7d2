"""`telemetry ingest`, run as by an operator."""

import json
import re
import signal
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from support.gateway_certificates import CertificateAuthority
from support.graphql_client import PATH, RECORD, RECORDED, client_event
from support.programs import Shell, wait_for_line

SECRET = "SECRET-5d1f"
JSON = {"content-type": "application/json"}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path, {"TELEMETRY_EXPORT_MODE": "all"})
    assert made.telemetry("db", "upgrade").code == 0
    return made


def body(**changes: object) -> dict[str, object]:
    return {"query": RECORD, "variables": {"events": [client_event(**changes)]}}


def pending(shell: Shell) -> int:
    return int(json.loads(shell.telemetry("queue", "status", "--json").out)["pending"])


def test_a_token_is_printed_once_and_accepted_by_its_hash(shell: Shell, tmp_path: Path) -> None:
    made = shell.telemetry("ingest", "token", "--user-id", "7", "--note", "the editor's")
    assert made.code == 0
    (token,) = re.findall(r"token: (\S+)", made.err)
    assert token not in made.out
    (tmp_path / "tokens.toml").write_text(made.out)
    with shell.ingest("--tokens-file", "tokens.toml") as url:
        good = httpx2.post(url + PATH, json=body(), headers={"authorization": f"token {token}"}, timeout=60)
        assert good.json() == RECORDED
        assert httpx2.post(url + PATH, json=body(), timeout=60).status_code == 401
    assert pending(shell) == 1


def test_an_error_prints_one_line(shell: Shell, tmp_path: Path) -> None:
    closed = shell.telemetry("ingest", "serve")
    assert closed.code == 2
    assert "TELEMETRY_INGEST_TOKENS_FILE: is not set, so no client could record" in closed.err
    (tmp_path / "tokens.toml").write_text(f'[[token]]\nsha256 = "{SECRET}"\n')
    wrong = shell.telemetry("ingest", "serve", "--tokens-file", "tokens.toml", "--cors-origins", "x")
    assert wrong.code == 2
    assert "TELEMETRY_INGEST_TOKENS_FILE: tokens.toml, line 2" in wrong.err
    assert "TELEMETRY_INGEST_CORS_ORIGINS" in wrong.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        busy = shell.telemetry("ingest", "serve", "--anonymous", "--listen", address)
        metrics = shell.telemetry(
            "ingest", "serve", "--anonymous", "--listen", "127.0.0.1:0",
            environment={"TELEMETRY_INGEST_METRICS_ADDR": address},
        )  # fmt: skip
    assert (busy.code, metrics.code) == (1, 1)
    assert f"cannot listen on {address}: Address already in use" in busy.err
    assert f"cannot serve metrics at {address}" in metrics.err
    for result in (closed, wrong, busy, metrics):
        assert "Traceback" not in result.err
        assert SECRET not in result.err


def test_metrics_have_a_separate_port(shell: Shell) -> None:
    shell.environment["TELEMETRY_INGEST_METRICS_ADDR"] = "127.0.0.1:0"
    with shell.background("ingest", "serve", "--listen", "127.0.0.1:0", "--anonymous") as process:
        metrics = wait_for_line(process, r'"address": "([^"]+)", "event": "metrics served"')
        address = wait_for_line(process, r"listening on (\S+)")
        assert httpx2.post(f"http://{address}{PATH}", json=body(), timeout=60).json() == RECORDED
        assert "telemetry_ingest_graphql_events_total 1.0" in httpx2.get(f"http://{metrics}/metrics", timeout=60).text
        assert httpx2.get(f"http://{address}/metrics", timeout=60).status_code == 404


def test_answered_events_are_stored_after_sigterm_during_traffic(shell: Shell) -> None:
    def send_many(url: str) -> int:
        recorded = 0
        with httpx2.Client(timeout=60) as http:
            while True:
                try:
                    if http.post(url, json=body()).json() != RECORDED:
                        return recorded
                except httpx2.HTTPError:
                    return recorded
                recorded += 1

    shell.environment["TELEMETRY_INGEST_REQUESTS_PER_SECOND"] = "0"
    with (
        shell.background("ingest", "serve", "--listen", "127.0.0.1:0", "--anonymous") as process,
        ThreadPoolExecutor(4) as pool,
    ):
        address = wait_for_line(process, r"listening on (\S+)")
        senders = [pool.submit(send_many, f"http://{address}{PATH}") for _ in range(4)]
        while pending(shell) < 20:
            pass
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
        answered = sum(sender.result() for sender in senders)
    stored = pending(shell)
    assert answered >= 20
    # Every answered event is stored. Others may be stored as well, if only their response was lost.
    assert answered <= stored <= answered + 4


def test_data_from_clients_is_not_logged(shell: Shell) -> None:
    with shell.background("ingest", "serve", "--listen", "127.0.0.1:0", "--anonymous") as process:
        url = f"http://{wait_for_line(process, r'listening on (.+)').strip()}"
        headers = {**JSON, "X-Sourcegraph-Actor-Anonymous-UID": SECRET, "authorization": f"token {SECRET}"}
        for content in (json.dumps(body(feature=SECRET)), SECRET, json.dumps(body(timestamp=SECRET))):
            httpx2.post(f"{url}{PATH}&{SECRET}", content=content, headers=headers, timeout=60)
        httpx2.get(f"{url}/{SECRET}", timeout=60)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert SECRET not in err
    assert "127.0.0.1:" not in err.replace(url.removeprefix("http://"), "")


def test_tls_is_used_with_a_certificate_which_may_be_renewed(shell: Shell, tmp_path: Path) -> None:
    first, second = CertificateAuthority(tmp_path, "first"), CertificateAuthority(tmp_path, "second")
    certificate, key = first.issue("localhost")
    shell.environment |= {"TELEMETRY_INGEST_TLS_CERT_FILE": str(certificate), "TELEMETRY_INGEST_TLS_KEY_FILE": str(key)}

    def post(url: str, authority: CertificateAuthority) -> object:
        trusted = ssl.create_default_context(cafile=str(authority.file))
        return httpx2.post(url.replace("http://", "https://") + PATH, json=body(), timeout=60, verify=trusted).json()

    with shell.ingest("--anonymous") as url:
        assert post(url, first) == RECORDED
        new_certificate, new_key = second.issue("renewed")
        new_certificate.replace(certificate)  # but not yet its key
        assert post(url, first) == RECORDED
        new_key.replace(key)
        assert post(url, second) == RECORDED
        with pytest.raises(httpx2.ConnectError):
            post(url, first)
