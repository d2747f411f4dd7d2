"""The exporter's settings: defaults, bounds, and combinations that are not allowed."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from export import ExporterSettings
from export.address import GatewayAddress, parse_gateway_address
from support.gateway_certificates import CertificateAuthority
from telemetry_runtime.settings import InvalidSettingsError

PREFIX = "TELEMETRY_GATEWAY_EXPORTER_"
SECRET = "SECRET-8c1e"


def faults(**arguments: Any) -> dict[str, str]:
    with pytest.raises(InvalidSettingsError) as caught:
        ExporterSettings.load(**arguments)
    assert SECRET not in str(caught.value) + repr(caught.value)
    return dict(caught.value.faults)


def test_the_defaults_are_those_of_the_specification() -> None:
    settings = ExporterSettings.load()
    assert settings.database_url == "sqlite:///telemetry.db"
    assert settings.export_addr is None
    assert settings.export_interval == timedelta(minutes=5)
    assert settings.export_batch_size == 10_000
    assert settings.exported_events_retention == timedelta(hours=24)
    assert settings.queue_cleanup_interval == timedelta(minutes=30)
    assert settings.event_logs_retention is None
    assert settings.chunk_bytes == 1024 * 1024
    assert settings.shutdown_timeout == timedelta(seconds=10)
    assert settings.oauth_scope == "telemetry_gateway::events::write"
    assert str(settings.export_policy().export_mode) == "none"


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("EXPORT_INTERVAL", "0", "greater than"),
        ("EXPORT_INTERVAL", "61m", "less than or equal to"),
        ("EXPORT_INTERVAL", SECRET, "must be a duration such as 30s, 5m or 1h30m"),
        ("EXPORT_BATCH_SIZE", "99", "greater than or equal to 100"),
        ("EXPORT_BATCH_SIZE", SECRET, "valid integer"),
        ("QUEUE_CLEANUP_INTERVAL", "0", "greater than"),
        ("CHUNK_BYTES", "4194304", "less than or equal to 2097152"),
        ("RPC_DEADLINE", "0s", "greater than"),
        ("INSECURE", SECRET, "valid boolean"),
        ("EXPORT_ADDR", f"https://u:{SECRET}@h", "must contain only scheme, host and port"),
        ("EXPORT_ADDR", "https://h:99999", "the port must be a number up to 65535"),
        ("EXPORT_ADDR", "https://h:0", "must not use port 0"),
        ("EXPORT_ADDR", "h:443", "must be https://host:port"),
        ("TLS_CA_FILE", "/no/such/file", "there is no file /no/such/file"),
        ("TLS_CERT_FILE", __file__, "set both this and TELEMETRY_GATEWAY_EXPORTER_TLS_KEY_FILE"),
        ("LEASE", "70s", "must be longer than the RPC deadline and the shutdown timeout together"),
    ],
)
def test_each_invalid_value_is_reported_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(PREFIX + variable, value)
    assert problem in faults()[PREFIX + variable]


def test_event_logs_are_kept_for_at_least_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMETRY_EVENT_LOGS_RETENTION", "23h")
    assert "greater than or equal to" in faults()["TELEMETRY_EVENT_LOGS_RETENTION"]


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "EXPORT_ADDR", "https://environment:443")
    monkeypatch.setenv("TELEMETRY_INSTANCE_ID", "environment")
    settings = ExporterSettings.load(export_addr="https://argument", instance_id="argument")
    assert (str(settings.address), settings.instance_id) == ("https://argument:443", "argument")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://h", GatewayAddress("h", 443, secure=True)),
        ("https://h:10443/", GatewayAddress("h", 10443, secure=True)),
        ("http://127.0.0.1:80", GatewayAddress("127.0.0.1", 80, secure=False)),
        ("http://[::1]:80", GatewayAddress("::1", 80, secure=False)),
    ],
)
def test_addresses_are_parsed(text: str, address: GatewayAddress) -> None:
    assert parse_gateway_address(text) == address
    assert parse_gateway_address(str(address)) == address


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("http://127.0.0.1:1", False),
        ("http://127.9.9.9:1", False),
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
        ("https://example.com", False),
        ("http://example.com", True),
        ("http://10.0.0.1:1", True),
        ("http://localhost.example.com:1", True),
    ],
)
def test_plain_text_goes_to_loopback_only(address: str, refused: bool) -> None:
    if not refused:
        assert ExporterSettings.load(export_addr=address, instance_id="i").address is not None
        return
    assert (
        "plain http:// is allowed only for loopback"
        in faults(export_addr=address, instance_id="i")[PREFIX + "EXPORT_ADDR"]
    )
    assert ExporterSettings.load(export_addr=address, instance_id="i", insecure=True).address is not None


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://example.com"])
@pytest.mark.parametrize(
    "credentials",
    [
        {"bearer_token": SECRET},
        {"oauth_token_url": "https://t", "oauth_client_id": "c", "oauth_client_secret": SECRET},
    ],
)
def test_credentials_are_never_sent_over_plain_text(address: str, credentials: dict[str, str]) -> None:
    problems = faults(export_addr=address, service_id="s", insecure=True, **credentials)
    assert problems[PREFIX + "EXPORT_ADDR"] == "credentials are never sent over plain http://; use https://"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://", "https:///token", "https://h:99999", "https://h:0"])
def test_a_token_url_must_be_https_with_a_host(url: str) -> None:
    problems = faults(oauth_token_url=url, oauth_client_id="c", oauth_client_secret=SECRET)
    assert problems == {PREFIX + "OAUTH_TOKEN_URL": "must be https://host, with a path if the server needs one"}


@pytest.mark.parametrize("token", [f"{SECRET}\n", f"Bearer {SECRET}", f"{SECRET}é", f"={SECRET}"])
def test_a_token_that_is_invalid_in_a_header_is_rejected_and_not_quoted(token: str) -> None:
    problems = faults(export_addr="https://h", service_id="s", bearer_token=token)
    assert "must be a bearer token" in problems[PREFIX + "BEARER_TOKEN"]


def test_a_license_key_is_sent_to_other_machines_only_encrypted() -> None:
    problems = faults(export_addr="http://example.com", insecure=True, license_key=SECRET, instance_id="i")
    assert "a license key is never sent over plain http://" in problems[PREFIX + "EXPORT_ADDR"]
    assert ExporterSettings.load(export_addr="http://127.0.0.1:1", license_key=SECRET, instance_id="i").address


def test_certificates_are_checked_when_settings_are_loaded(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    certificate, key = authority.issue("client")
    _, other_key = authority.issue("other")
    broken = tmp_path / "broken.pem"
    broken.write_text(f"-----BEGIN CERTIFICATE-----\n{SECRET}\n-----END CERTIFICATE-----\n")
    assert ExporterSettings.load(tls_ca_file=authority.file, tls_cert_file=certificate, tls_key_file=key).tls_key_file
    assert "does not contain a PEM certificate" in faults(tls_ca_file=broken)[PREFIX + "TLS_CA_FILE"]
    for wrong in (other_key, broken):
        problems = faults(tls_cert_file=certificate, tls_key_file=wrong)
        assert "matches the key; the key must not have a passphrase" in problems[PREFIX + "TLS_CERT_FILE"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"license_key": SECRET}, ("TELEMETRY_INSTANCE_ID", "is missing; a licensed instance needs an id as well")),
        ({}, ("TELEMETRY_INSTANCE_ID", "is missing; set the id of the instance, or TELEMETRY_SERVICE_ID")),
        ({"service_id": "s"}, (PREFIX + "BEARER_TOKEN", "is missing; a managed service must authenticate")),
        ({"service_id": "s", "instance_id": "i"}, ("TELEMETRY_SERVICE_ID", "keep one kind of identity")),
        ({"instance_id": "i", "oauth_client_id": "c"}, (PREFIX + "OAUTH_TOKEN_URL", "is missing; client credentials")),
        (
            {
                "service_id": "s", "bearer_token": SECRET, "oauth_token_url": "https://t", "oauth_client_id": "c",
                "oauth_client_secret": SECRET,
            },
            (PREFIX + "BEARER_TOKEN", "must not be set with client credentials; keep one of them"),
        ),
    ],
)  # fmt: skip
def test_an_identity_must_be_complete_and_unambiguous(arguments: dict[str, str], fault: tuple[str, str]) -> None:
    problems = faults(export_addr="https://h", **arguments)
    assert fault[1] in problems[fault[0]]


def test_the_three_kinds_of_identity() -> None:
    licensed = ExporterSettings.load(license_key="k", instance_id="i", external_url="u").identifier().licensed_instance
    assert (licensed.license_key, licensed.instance_id, licensed.external_url) == ("k", "i", "u")
    unlicensed = ExporterSettings.load(instance_id="i", external_url="u").identifier().unlicensed_instance
    assert (unlicensed.instance_id, unlicensed.external_url) == ("i", "u")
    managed = ExporterSettings.load(service_id="s", service_environment="e").identifier().managed_service
    assert (managed.service_id, managed.service_environment) == ("s", "e")
    assert not ExporterSettings.load(service_id="s").identifier().managed_service.HasField("service_environment")


def test_secrets_are_not_shown_by_repr(tmp_path: Path) -> None:
    settings = ExporterSettings.load(database_url=f"postgresql://u:{SECRET}@h/d", license_key=SECRET, instance_id="i")
    assert SECRET not in repr(settings)
