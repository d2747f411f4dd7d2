"""The gateway's settings: invalid values, and that all faults are reported together."""

from pathlib import Path
from typing import Any

import pytest

from support.gateway_certificates import CertificateAuthority
from telemetry_gateway import GatewaySettings
from telemetry_runtime.listening import split_listen_address
from telemetry_runtime.loopback import is_loopback
from telemetry_runtime.settings import InvalidSettingsError

PREFIX = "TELEMETRY_GATEWAY_"


def faults(**settings: Any) -> dict[str, str]:
    with pytest.raises(InvalidSettingsError) as caught:
        GatewaySettings.load(**settings)
    return {name.removeprefix(PREFIX): problem for name, problem in caught.value.faults}


def test_defaults_are_valid() -> None:
    settings = GatewaySettings.load()

    assert is_loopback(split_listen_address(settings.listen_addr)[0])
    assert settings.service_tokens_file is None


def test_the_environment_is_read_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}LISTEN_ADDR", "localhost:1")
    monkeypatch.setenv(f"{PREFIX}MAX_STREAMS", "7")

    settings = GatewaySettings.load(listen_addr="[::1]:2")

    assert (settings.listen_addr, settings.max_streams) == ("[::1]:2", 7)


@pytest.mark.parametrize("address", ["", "localhost", ":80", "host:", "host:x", "host:65536", "host:-1"])
def test_invalid_addresses_are_rejected(address: str) -> None:
    assert "must be host:port" in faults(listen_addr=address)["LISTEN_ADDR"]


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "gateway.test:80", "192.0.2.1:80"])
def test_plain_text_beyond_loopback_needs_insecure(address: str) -> None:
    assert "plain text is allowed only on loopback" in faults(listen_addr=address)["LISTEN_ADDR"]
    assert GatewaySettings.load(listen_addr=address, insecure=True).insecure


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    told = faults(
        listen_addr="0.0.0.0:80",
        tls_key_file=tmp_path / "key.pem",
        tls_client_ca_file=tmp_path / "ca.pem",
        service_tokens_file=tmp_path / "tokens.toml",
        sink="plugin",
        nats_url="nats://user:hunter2@127.0.0.1",
        jwt_issuer="https://issuer.test",
        introspection_client_secret="hunter2",
    )

    assert told.keys() == {
        "LISTEN_ADDR",
        "TLS_CERT_FILE",
        "TLS_CLIENT_CA_FILE",
        "SERVICE_TOKENS_FILE",
        "SINK_PLUGIN",
        "NATS_URL",
        "JWT_JWKS_URL",
        "JWT_AUDIENCE",
        "INTROSPECTION_URL",
        "INTROSPECTION_CLIENT_ID",
    }
    assert "hunter2" not in str(told)


@pytest.mark.parametrize("url", ["http://issuer.test/jwks", "ftp://127.0.0.1/", "issuer.test"])
def test_keys_are_never_fetched_over_plain_text(url: str) -> None:
    told = faults(jwt_jwks_url=url, jwt_issuer="i", jwt_audience="a")
    assert told == {"JWT_JWKS_URL": "must be https://, or http:// on loopback"}


@pytest.mark.parametrize("text", ["billing = 1\n", "x = " + "[" * 5_000, 'billing = ""\n', "no toml", "\xff"])
def test_the_error_for_an_invalid_tokens_file_does_not_quote_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text, encoding="latin-1")

    assert "must be TOML with a line for each service" in faults(service_tokens_file=file)["SERVICE_TOKENS_FILE"]


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    settings = GatewaySettings.load(
        introspection_url="https://issuer.test/introspect",
        introspection_client_id="gateway",
        introspection_client_secret="hunter2",
    )
    assert "hunter2" not in repr(settings)


def test_certificates_are_read_at_the_start(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    certificate, _ = authority.issue("one")
    _, other_key = authority.issue("other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")

    assert faults(tls_cert_file=certificate, tls_key_file=other_key).keys() == {"TLS_CERT_FILE"}
    assert faults(
        tls_cert_file=nonsense, tls_key_file=other_key, tls_client_ca_file=nonsense, authority_ca_file=nonsense
    ).keys() == {"TLS_CERT_FILE", "TLS_CLIENT_CA_FILE", "AUTHORITY_CA_FILE"}
