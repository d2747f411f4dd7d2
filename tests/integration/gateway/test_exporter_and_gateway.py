"""The exporter's client and the gateway together, over TLS, with an authority for both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export import ExporterSettings, FailureKind, GatewayClient, GatewayError
from support.gateway_authority import AUDIENCE, EXPORTER, ISSUER, TestAuthority, running_authority
from support.gateway_certificates import CertificateAuthority
from support.gateway_client import batch, event
from support.gateway_server import RunningGateway, running_gateway


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@pytest.fixture
def authority(certificates: CertificateAuthority) -> Iterator[TestAuthority]:
    with running_authority(certificates.issue("authority")) as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path, certificates: CertificateAuthority, authority: TestAuthority) -> Iterator[RunningGateway]:
    certificate, key = certificates.issue("gateway")
    with running_gateway(
        tmp_path,
        tls_cert_file=certificate,
        tls_key_file=key,
        jwt_jwks_url=f"{authority.url}/jwks",
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        token_service_claim="client_id",
        authority_ca_file=certificates.file,
    ) as running:
        yield running


def client(
    gateway: RunningGateway, authority: TestAuthority, certificates: CertificateAuthority, **changes: Any
) -> GatewayClient:
    settings: dict[str, Any] = {
        "export_addr": f"https://{gateway.address}",
        "tls_ca_file": certificates.file,
        "service_id": "billing",
        "oauth_token_url": f"{authority.url}/token",
        "oauth_client_id": EXPORTER[0],
        "oauth_client_secret": EXPORTER[1],
    }
    return GatewayClient.from_settings(ExporterSettings.load(**(settings | changes)))


def test_client_credentials_are_accepted(
    gateway: RunningGateway, authority: TestAuthority, certificates: CertificateAuthority
) -> None:
    good, bad = event(), event(feature="Not good")
    exporter = client(gateway, authority, certificates)

    (answer,) = exporter.open_stream("request-1", [batch(good, bad)])
    exporter.close()

    assert list(answer.succeeded_events) == [good.id]
    assert [rejection.event_id for rejection in answer.rejected_events] == [bad.id]
    assert gateway.published()[0]["attributes"]["publisher.source"] == "billing"
    assert authority.asked == ["/token", "/jwks"]


@pytest.mark.parametrize("changes", [{"oauth_scope": "openid"}, {"service_id": "search"}])
def test_a_wrong_scope_or_service_is_denied_without_blame_for_events(
    gateway: RunningGateway,
    authority: TestAuthority,
    certificates: CertificateAuthority,
    changes: dict[str, str],
) -> None:
    exporter = client(gateway, authority, certificates, **changes)

    with pytest.raises(GatewayError) as caught:
        list(exporter.open_stream("request-1", [batch(event())]))
    exporter.close()

    assert (caught.value.code, caught.value.kind) == ("PERMISSION_DENIED", FailureKind.REFUSED)
    assert gateway.published() == []


def test_an_instance_over_its_limit_backs_off(tmp_path: Path) -> None:
    with running_gateway(tmp_path, events_per_second=1, burst="1s") as gateway:
        exporter = GatewayClient.from_settings(
            ExporterSettings.load(export_addr=f"http://{gateway.address}", instance_id="instance-1")
        )
        stream = exporter.open_stream("request-1", [batch(event(), event()), batch(event())])
        with pytest.raises(GatewayError) as caught:
            list(stream)
        exporter.close()

    # The exporter treats this as an outage: it backs off and blames no event. Acknowledged events stay acknowledged.
    assert caught.value.kind is FailureKind.OUTAGE
    assert gateway.sink_file.read_text().count("\n") == 2
