from pathlib import Path

import pytest

from support.gateway_certificates import CertificateAuthority
from telemetry_admin import AdminSettings
from telemetry_runtime.settings import InvalidSettingsError

TOKEN = "a-token-of-enough-characters"


def faults(**settings: object) -> dict[str, str]:
    with pytest.raises(InvalidSettingsError) as caught:
        AdminSettings.load(**settings)
    assert TOKEN not in str(caught.value)
    return dict(caught.value.faults)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:0", "[::1]:10090", "127.8.8.8:80"])
def test_loopback_requires_no_token(address: str) -> None:
    settings = AdminSettings.load(listen_addr=address)

    assert settings.known_token() is None


@pytest.mark.parametrize("address", ["0.0.0.0:10090", "[::]:1", "192.0.2.7:1", "admin.example.com:443"])
def test_other_addresses_require_a_token_and_tls(address: str) -> None:
    found = faults(listen_addr=address)

    assert "without a token the page is served on loopback only" in found["TELEMETRY_ADMIN_TOKEN"]
    assert "plain text is allowed only on loopback" in found["TELEMETRY_ADMIN_LISTEN_ADDR"]
    assert set(faults(listen_addr=address, token=TOKEN)) == {"TELEMETRY_ADMIN_LISTEN_ADDR"}
    assert set(faults(listen_addr=address, insecure=True)) == {"TELEMETRY_ADMIN_TOKEN"}
    assert AdminSettings.load(listen_addr=address, token=TOKEN, insecure=True).known_token() == TOKEN


@pytest.mark.parametrize(
    "token", ["short", " " * 20, "with space in the middle of it", "ünïcode-is-not-taken-here", "a" * 15]
)
def test_a_short_or_unprintable_token_is_rejected(token: str) -> None:
    assert "at least 16 printable ASCII characters" in faults(token=token)["TELEMETRY_ADMIN_TOKEN"]


def test_the_token_can_be_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")

    assert AdminSettings.load(token_file=file).known_token() == TOKEN
    assert "remove one of them" in faults(token_file=file, token=TOKEN)["TELEMETRY_ADMIN_TOKEN_FILE"]
    file.write_text("")
    assert "at least 16" in faults(token_file=file)["TELEMETRY_ADMIN_TOKEN_FILE"]
    file.write_bytes(b"\xff" * 20)
    assert "is not UTF-8" in faults(token_file=file)["TELEMETRY_ADMIN_TOKEN_FILE"]
    assert "cannot be read: No such file" in faults(token_file=tmp_path / "none")["TELEMETRY_ADMIN_TOKEN_FILE"]


def test_any_host_is_allowed_only_with_a_token() -> None:
    assert "any host (*) requires a token" in faults(allowed_hosts="*")["TELEMETRY_ADMIN_ALLOWED_HOSTS"]
    assert AdminSettings.load(allowed_hosts=" A.example , b.example,", token=TOKEN).hosts == ("a.example", "b.example")


def test_certificates_are_read_at_the_start(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    certificate, key = authority.issue("one")
    _, other_key = authority.issue("other")

    settings = AdminSettings.load(tls_cert_file=certificate, tls_key_file=key, listen_addr="0.0.0.0:1", token=TOKEN)
    assert settings.certificate == (certificate, key)
    variable = "TELEMETRY_ADMIN_TLS_CERT_FILE"
    assert "or neither" in faults(tls_cert_file=certificate)[variable]
    assert "there is no file" in faults(tls_cert_file=certificate, tls_key_file=tmp_path / "x")[variable]
    assert "matches the key" in faults(tls_cert_file=certificate, tls_key_file=other_key)[variable]


def test_proxies_are_addresses_or_networks() -> None:
    assert AdminSettings.load(trusted_proxies="127.0.0.1, ::1").proxies == ("127.0.0.1", "::1")
    assert "must be addresses" in faults(trusted_proxies="*")["TELEMETRY_ADMIN_TRUSTED_PROXIES"]


def test_neither_token_nor_password_is_shown() -> None:
    settings = AdminSettings.load(token=TOKEN, database_url="postgresql://u:hidden@db/x")

    assert TOKEN not in repr(settings)
    assert "hidden" not in repr(settings)
