"""The checks that report what would keep a gateway from serving."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.gateway_authority import AUDIENCE, CLIENT, ISSUER, running_authority
from support.gateway_certificates import CertificateAuthority
from support.gateway_server import running_gateway
from telemetry_gateway import GatewayCheck, GatewaySettings, check_gateway, checks


def look(folder: Path, **settings: Any) -> dict[str, GatewayCheck]:
    defaults: dict[str, Any] = {
        "listen_addr": "127.0.0.1:0",
        "sink_file": folder / "published.jsonl",
        "deduplication_file": folder / "deduplication.db",
        "rejects_file": folder / "rejects.jsonl",
    }
    return {check.name: check for check in check_gateway(GatewaySettings.load(**(defaults | settings)))}


def failed(found: dict[str, GatewayCheck]) -> dict[str, str]:
    return {name: check.found for name, check in found.items() if not check.ok}


def test_all_checks_pass(tmp_path: Path) -> None:
    certificate, key = CertificateAuthority(tmp_path).issue("gateway")
    with running_authority() as authority:
        found = look(
            tmp_path, tls_cert_file=certificate, tls_key_file=key, metrics_addr="127.0.0.1:0",
            jwt_jwks_url=f"{authority.url}/jwks", jwt_issuer=ISSUER, jwt_audience=AUDIENCE,
            introspection_url=f"{authority.url}/introspect", introspection_client_id=CLIENT[0],
            introspection_client_secret=CLIENT[1],
        )  # fmt: skip
    assert failed(found) == {}
    assert list(found) == [
        "settings", "listen address", "metrics address", "certificate", "sink", "deduplication file", "rejects file",
        "JWT keys", "introspection",
    ]  # fmt: skip
    assert found["JWT keys"].found == "1 keys are published"


@pytest.mark.parametrize("sink", ["stdout", "nats"])
def test_other_sinks_are_opened(tmp_path: Path, sink: str) -> None:
    found = look(tmp_path, sink=sink, nats_url="nats://127.0.0.1:1", nats_timeout="200ms")
    assert ("sink" in failed(found)) == (sink == "nats")


def test_address_and_file_of_a_running_gateway_are_in_use(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        found = failed(look(tmp_path, listen_addr=gateway.address))
    assert found["listen address"] == f"{gateway.address} is in use; a gateway may be running there"
    assert set(found) == {"listen address", "sink"}


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    found = failed(look(tmp_path, listen_addr="192.0.2.1:1", insecure=True))
    assert found["listen address"].startswith("cannot listen on 192.0.2.1:1: ")
    if socket.has_ipv6:
        assert failed(look(tmp_path, listen_addr="[::1]:0")) == {}


@pytest.mark.parametrize("shift", [timedelta(days=-4_000), timedelta(days=40_000)])
def test_a_certificate_that_is_not_valid_now(tmp_path: Path, shift: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = CertificateAuthority(tmp_path).issue("gateway")

    class Then:
        @staticmethod
        def now(zone: Any) -> datetime:
            return datetime.now(UTC) + shift

    monkeypatch.setattr(checks, "datetime", Then)
    found = failed(look(tmp_path, tls_cert_file=certificate, tls_key_file=key))
    assert "not now; renew it" in found["certificate"]


def test_files_in_missing_folders(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    found = failed(
        look(
            tmp_path,
            sink_file=nowhere / "published.jsonl",
            deduplication_file=nowhere / "window.db",
            rejects_file=nowhere / "rejects.jsonl",
        )
    )
    assert set(found) == {"sink", "deduplication file", "rejects file"}
    assert found["rejects file"] == f"the folder {nowhere} does not exist; create it"


def test_a_file_without_write_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry_gateway.checks.os.access", lambda place, mode: False)  # also when root runs the test
    assert "is not writable; give the gateway's user write permission" in failed(look(tmp_path))["rejects file"]


@pytest.mark.parametrize(
    ("answer", "keys", "introspection"),
    [
        ((503, b""), "responded with status 503", "responded with status 503"),
        ((200, b"{}"), "its response holds no keys", "`active` is missing"),
    ],
)
def test_authorities_without_a_valid_response(
    tmp_path: Path, answer: tuple[int, bytes], keys: str, introspection: str
) -> None:
    with running_authority() as authority:
        authority.answer_with = answer
        found = failed(
            look(
                tmp_path, jwt_jwks_url=f"{authority.url}/jwks", jwt_issuer=ISSUER, jwt_audience=AUDIENCE,
                introspection_url=f"{authority.url}/introspect", introspection_client_id=CLIENT[0],
                introspection_client_secret=CLIENT[1],
            )
        )  # fmt: skip
    assert keys in found["JWT keys"]
    assert introspection in found["introspection"]
    assert CLIENT[1] not in str(found)
