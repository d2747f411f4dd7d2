"""The ingest service's settings: what is rejected, and that all faults are reported at once."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from support.gateway_certificates import CertificateAuthority
from telemetry_ingest import IngestSettings
from telemetry_ingest.errors import TooManyRequestsError
from telemetry_runtime.settings import InvalidSettingsError

PREFIX = "TELEMETRY_INGEST_"


def faults(**settings: Any) -> dict[str, str]:
    with pytest.raises(InvalidSettingsError) as caught:
        IngestSettings.load(**settings)
    return {name.removeprefix(PREFIX): problem for name, problem in caught.value.faults}


def test_the_defaults_allow_only_loopback_and_no_caller() -> None:
    settings = IngestSettings.load()
    assert (settings.anonymous, settings.tokens_file, settings.allowed_origins) == (False, None, [])
    assert settings.listen_addr.startswith("127.0.0.1:")
    assert settings.certificate is None


@pytest.mark.parametrize(
    "origins", ["app.test", "https://app.test/", "https://app.test/path", "ftp://app.test", "null", "https://"]
)
def test_invalid_origins(origins: str) -> None:
    assert "must be origins such as https://app.example.com" in faults(cors_origins=origins)["CORS_ORIGINS"]


def test_origins_are_separated_by_commas() -> None:
    settings = IngestSettings.load(cors_origins=" https://app.test , http://127.0.0.1:8080,")
    assert settings.allowed_origins == ["https://app.test", "http://127.0.0.1:8080"]
    assert IngestSettings.load(cors_origins="*").allowed_origins == ["*"]


def test_proxies_are_addresses_or_networks() -> None:
    assert IngestSettings.load(trusted_proxies="10.0.0.0/8, ::1").proxies == ["10.0.0.0/8", "::1"]
    for wrong in ("*", "proxy.test", "10.0.0.0/40"):
        assert "must be addresses or networks" in faults(trusted_proxies=wrong)["TRUSTED_PROXIES"]


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "ingest.test:80"])
def test_plain_text_beyond_loopback_requires_the_switch(address: str) -> None:
    assert "plain text is allowed only on loopback" in faults(listen_addr=address)["LISTEN_ADDR"]
    assert IngestSettings.load(listen_addr=address, insecure=True).listen_addr == address


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    told = faults(
        listen_addr="nowhere",
        tokens_file=tmp_path / "tokens.toml",
        cors_origins="x",
        max_body_bytes=1,
        max_events=0,
        requests_per_second=-1,
        body_timeout="0",
        export_mode="Not good",
    )
    assert told.keys() == {
        "LISTEN_ADDR",
        "TOKENS_FILE",
        "CORS_ORIGINS",
        "MAX_BODY_BYTES",
        "MAX_EVENTS",
        "REQUESTS_PER_SECOND",
        "BODY_TIMEOUT",
        "TELEMETRY_EXPORT_MODE",
    }


def test_certificates_are_checked_at_startup(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    certificate, key = authority.issue("one")
    _, other_key = authority.issue("other")
    good = IngestSettings.load(listen_addr="0.0.0.0:80", tls_cert_file=certificate, tls_key_file=key)
    assert good.certificate == (certificate, key)
    assert "matches the key" in faults(tls_cert_file=certificate, tls_key_file=other_key)["TLS_CERT_FILE"]
    assert "there is no file" in faults(tls_cert_file=tmp_path / "no.pem", tls_key_file=key)["TLS_CERT_FILE"]
    assert f"set both this and {PREFIX}TLS_KEY_FILE" in faults(tls_cert_file=certificate)["TLS_CERT_FILE"]


def test_errors_can_be_pickled() -> None:
    error = TooManyRequestsError(2.5)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(twin), twin.retry_after) == (str(error), 2.5)
