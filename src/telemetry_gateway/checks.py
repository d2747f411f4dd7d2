"""Report what would keep a gateway from serving, before it starts or while another one runs."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509

from telemetry_gateway.assembly import make_sink
from telemetry_gateway.errors import GatewayServiceError
from telemetry_gateway.identity.authority import Authority
from telemetry_gateway.publishing.deduplication import DeduplicationWindow
from telemetry_gateway.settings import GatewaySettings, SinkKind
from telemetry_runtime.listening import split_listen_address

_EXPIRES_SOON: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class GatewayCheck:
    """The result of one check.

    Attributes:
        name: What was checked.
        ok: Whether a gateway can serve with it.
        found: What was found, and what to do if it is not ok.
    """

    name: str
    ok: bool
    found: str


class _Problem(Exception):  # noqa: N818 - never leaves this module
    """A failed check, and what to do about it."""


def check_gateway(settings: GatewaySettings) -> Iterator[GatewayCheck]:
    """Run the checks, and yield each result.

    The sink is opened as at the start of a gateway, so a missing JetStream stream is created.

    Args:
        settings: The gateway's settings, which are valid because they could be created.
    """
    transport = "plain text" if settings.tls_cert_file is None else "TLS"
    yield GatewayCheck("settings", ok=True, found=f"{transport}, sink {settings.sink.value}")
    yield _check("listen address", lambda: _bind(settings.listen_addr))
    if settings.metrics_addr is not None:
        metrics_addr = settings.metrics_addr
        yield _check("metrics address", lambda: _bind(metrics_addr))
    if settings.tls_cert_file is not None:
        certificate = settings.tls_cert_file
        yield _check("certificate", lambda: _certificate(certificate))
    yield _check("sink", lambda: _sink(settings))
    yield _check("deduplication file", lambda: _window(settings))
    yield _check("rejects file", lambda: _writable(settings.rejects_file))
    for name, url in (("JWT keys", settings.jwt_jwks_url), ("introspection", settings.introspection_url)):
        if url is not None:
            yield _check(name, partial(_authority, settings, name, url))


def _check(name: str, look: Callable[[], str]) -> GatewayCheck:
    try:
        return GatewayCheck(name, ok=True, found=look())
    except (_Problem, GatewayServiceError) as problem:
        return GatewayCheck(name, ok=False, found=str(problem))


def _bind(address: str) -> str:
    host, port = split_listen_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _Problem(f"{address} is in use; a gateway may be running there") from None
            raise _Problem(f"cannot listen on {address}: {error.strerror}") from None
    return f"{address} is free"


def _certificate(file: Path) -> str:
    # The settings have already checked that the key matches.
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    now = datetime.now(UTC)
    until = certificate.not_valid_after_utc
    if not certificate.not_valid_before_utc <= now <= until:
        raise _Problem(
            f"{file} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to {until:%Y-%m-%d}, not now; renew it"
        )
    soon = "; renew it soon" if until - now < _EXPIRES_SOON else ""
    return f"valid until {until:%Y-%m-%d}{soon}"


def _sink(settings: GatewaySettings) -> str:
    make_sink(settings).close()
    where = {
        SinkKind.JSONL: str(settings.sink_file),
        SinkKind.NATS: f"stream {settings.nats_stream}",
        SinkKind.PLUGIN: settings.sink_plugin,
    }.get(settings.sink, "standard output")
    return f"{where} can be written"


def _window(settings: GatewaySettings) -> str:
    DeduplicationWindow(settings.deduplication_file, settings.deduplication_window, clock=lambda: 0.0).close()
    return f"{settings.deduplication_file} can be used"


def _writable(file: Path) -> str:
    place = file if file.exists() else file.parent
    if not place.exists():
        raise _Problem(f"the folder {place} does not exist; create it")
    if not os.access(place, os.W_OK):
        raise _Problem(f"{place} is not writable; give the gateway's user write permission")
    return f"{file} can be written"


def _authority(settings: GatewaySettings, name: str, url: str) -> str:
    authority = Authority(settings.authority_ca_file)
    if name == "JWT keys":
        keys = asyncio.run(authority.ask(url)).get("keys")
        if not isinstance(keys, list) or not keys:
            raise _Problem("the URL responds, but its response holds no keys")
        return f"{len(keys)} keys are published"
    client = (settings.introspection_client_id or "", "")
    if settings.introspection_client_secret is not None:
        client = (client[0], settings.introspection_client_secret.get_secret_value())
    # An invalid token: the authority answers "not active", which also shows that it accepts the client's credentials.
    answer = asyncio.run(authority.ask(url, form={"token": "telemetry-gateway-check"}, client=client))
    if not isinstance(answer.get("active"), bool):
        raise _Problem("the URL responds, but not as RFC 7662 requires: `active` is missing")
    return "the authority responds"
