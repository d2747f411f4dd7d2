"""Tokens and certificates, against real servers with certificates of a test authority."""

import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from export import CredentialsError, Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassOutcome, PassSettings
from export.credentials import ClientCredentials, StaticToken, token_source
from support.gateway_certificates import CertificateAuthority
from support.gateway_client import batch, event
from support.recorders import EXPORT_ALL, make_recorder
from telemetry import Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue
from telemetry_testing import Refuse, scripted_gateway

SECRET = "CLIENT-SECRET-3d9a"
STRICT_TLS = sys.version_info >= (3, 13)


class TokenServer:
    """A token URL with scripted responses, which counts requests."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = None
        self.asked = 0
        self.url = ""

    def answer(self) -> tuple[int, bytes]:
        self.asked += 1
        if self.body is not None:
            return self.status, self.body
        token = {"access_token": f"TOKEN-{self.asked}", "token_type": "Bearer", "expires_in": 3600}
        return self.status, json.dumps(token).encode()


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@contextmanager
def token_server(authority: CertificateAuthority) -> Iterator[TokenServer]:
    server = TokenServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = server.answer()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    certificate, key = authority.issue("token-server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    server.url = f"https://127.0.0.1:{listening.server_port}/token"
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def tokens(authority: CertificateAuthority) -> Iterator[TokenServer]:
    with token_server(authority) as server:
        yield server


class Seconds:
    """A monotonic clock that tests advance."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def credentials(
    tokens: TokenServer, authority: CertificateAuthority, seconds: Seconds | None = None
) -> ClientCredentials:
    verify = ssl.create_default_context(cafile=str(authority.file))
    return ClientCredentials(tokens.url, "client", SECRET, "scope", verify=verify, monotonic=seconds or Seconds())


@pytest.mark.interpreter
def test_one_token_serves_all_threads(tokens: TokenServer, authority: CertificateAuthority) -> None:
    source = credentials(tokens, authority)
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(source.token())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["TOKEN-1"] * 16
    assert tokens.asked == 1


def test_a_token_is_renewed_before_it_expires_and_when_it_was_refused(
    tokens: TokenServer, authority: CertificateAuthority
) -> None:
    seconds = Seconds()
    source = credentials(tokens, authority, seconds)
    assert source.token() == "TOKEN-1"
    seconds.now = 3600 - 61
    assert source.token() == "TOKEN-1"
    seconds.now = 3600 - 60
    assert source.token() == "TOKEN-2"
    source.invalidate("TOKEN-2")
    assert source.token() == "TOKEN-3"
    source.invalidate("TOKEN-2")  # a stream that began with the old token fails only now
    assert source.token() == "TOKEN-3"


@pytest.mark.parametrize("life", ["-1", "0", "null"])
def test_an_invalid_lifetime_of_a_token_is_replaced_by_a_short_one(
    tokens: TokenServer, authority: CertificateAuthority, life: str
) -> None:
    tokens.body = b'{"access_token": "t", "token_type": "Bearer", "expires_in": %s}' % life.encode()
    seconds = Seconds()
    source = credentials(tokens, authority, seconds)
    assert source.token() == "t"
    assert tokens.asked == 1
    seconds.now = 300
    source.token()
    assert tokens.asked == 2


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (
            401,
            b'{"error": "invalid_client", "error_description": "SECRET-TEXT"}',
            "refused the client credentials (invalid_client)",
        ),
        (500, b"SECRET-TEXT", "answered with status 500"),
        (200, b"SECRET-TEXT", "does not contain a usable token"),
        (200, b"{}", "does not contain a usable token"),
        (200, b'{"access_token": "t", "expires_in": "SECRET-TEXT"}', "does not contain a usable token"),
        (200, b'{"access_token": "SECRET\\r\\nTEXT", "token_type": "Bearer"}', "does not contain a usable token"),
        (200, b'{"access_token": "t", "expires_in": NaN}', "does not contain a usable token"),
        (200, b'{"access_token": "t", "expires_in": Infinity}', "does not contain a usable token"),
        (404, b"{}", "usable token"),
    ],
)
def test_responses_without_a_token_are_reported_without_their_text(
    tokens: TokenServer, authority: CertificateAuthority, status: int, body: bytes, text: str
) -> None:
    tokens.status, tokens.body = status, body
    with pytest.raises(CredentialsError) as caught:
        credentials(tokens, authority).token()
    assert text in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    tokens.status, tokens.body = 200, None
    assert credentials(tokens, authority).token()


def test_an_unreachable_or_untrusted_token_url_is_reported(
    tokens: TokenServer, authority: CertificateAuthority
) -> None:
    untrusting = ClientCredentials(tokens.url, "client", SECRET, "scope")
    with pytest.raises(CredentialsError, match="certificate is rejected: its authority is not trusted; add its"):
        untrusting.token()
    away = ClientCredentials("https://127.0.0.1:1/token", "client", SECRET, "scope")
    with pytest.raises(CredentialsError, match="cannot be reached"):
        away.token()


@pytest.mark.interpreter
def test_an_authority_without_key_identifiers_is_accepted_or_reported(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path, key_identifiers=False)
    with token_server(authority) as tokens:
        source = credentials(tokens, authority)
        if STRICT_TLS:
            with pytest.raises(CredentialsError) as caught:
                source.token()
            assert "it lacks the key identifier of its authority" in str(caught.value)
            assert "reissue the certificates" in str(caught.value)
            assert SECRET not in str(caught.value)
            assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        else:
            assert source.token() == "TOKEN-1"


def secure_exporter(queue: ExportQueue, settings: ExporterSettings) -> tuple[Exporter, GatewayClient]:
    client = GatewayClient.from_settings(settings)
    exporter = Exporter(
        queue, client, load_redactor=Redactor, load_policy=lambda: EXPORT_ALL,
        settings=PassSettings(outages_per_pass=1),
        metrics=ExportMetrics(CollectorRegistry()),
    )  # fmt: skip
    return exporter, client


def server_credentials(authority: CertificateAuthority, *, mutual: bool = False) -> grpc.ServerCredentials:
    certificate, key = authority.issue("gateway")
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=authority.file.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
def test_a_managed_service_with_client_credentials_renews_a_refused_token(
    database: Database, queue: ExportQueue, tokens: TokenServer, authority: CertificateAuthority, code: grpc.StatusCode
) -> None:
    make_recorder(database).record("search", "submit")

    def only_the_second(stream: int, headers: dict[str, str]) -> None:
        if headers.get("authorization") != "Bearer TOKEN-2":
            raise Refuse(code, "expired: TOKEN-1")

    with scripted_gateway(credentials=server_credentials(authority)) as gateway:
        gateway.at_start = only_the_second
        settings = ExporterSettings.load(
            export_addr=gateway.address, service_id="svc", tls_ca_file=authority.file, oauth_token_url=tokens.url,
            oauth_client_id="client", oauth_client_secret=SECRET,
        )  # fmt: skip
        exporter, client = secure_exporter(queue, settings)
        with capture_logs() as logs:
            report = exporter.run_pass()
        client.close()
    assert (report.outcome, report.acked, tokens.asked) == (PassOutcome.DRAINED, 1, 2)
    assert gateway.metadata[0].identifier.managed_service.service_id == "svc"
    assert SECRET not in str(logs) + str(report)
    assert "TOKEN-" not in str(logs) + str(report)  # the gateway quoted the token
    assert report.problem == f"{code.name}: expired: ***"


def test_without_a_token_nothing_is_sent_and_nothing_is_lost(
    database: Database, queue: ExportQueue, tokens: TokenServer, authority: CertificateAuthority
) -> None:
    make_recorder(database).record("search", "submit")
    tokens.status, tokens.body = 500, b""
    with scripted_gateway(credentials=server_credentials(authority)) as gateway:
        settings = ExporterSettings.load(
            export_addr=gateway.address, service_id="svc", tls_ca_file=authority.file, oauth_token_url=tokens.url,
            oauth_client_id="client", oauth_client_secret=SECRET,
        )  # fmt: skip
        exporter, client = secure_exporter(queue, settings)
        report = exporter.run_pass()
        client.close()
        assert gateway.streams == 0
    assert (report.outcome, report.remaining) == (PassOutcome.REFUSED, 1)
    assert report.problem == "CREDENTIALS: the token URL answered with status 500"


def test_a_static_token_is_sent(database: Database, queue: ExportQueue, authority: CertificateAuthority) -> None:
    make_recorder(database).record("search", "submit")
    with scripted_gateway(credentials=server_credentials(authority)) as gateway:
        settings = ExporterSettings.load(
            export_addr=gateway.address, service_id="svc", tls_ca_file=authority.file, bearer_token="STATIC"
        )
        exporter, client = secure_exporter(queue, settings)
        assert exporter.run_pass().acked == 1
        client.close()
    assert gateway.headers[0]["authorization"] == "Bearer STATIC"


@pytest.mark.parametrize("fault", ["wrong name", "wrong authority", "no client certificate"])
def test_an_invalid_certificate_is_an_outage_and_nothing_is_lost(
    database: Database, queue: ExportQueue, authority: CertificateAuthority, tmp_path: Path, fault: str
) -> None:
    make_recorder(database).record("search", "submit")
    (tmp_path / "other").mkdir()
    other = CertificateAuthority(tmp_path / "other")
    mutual = fault == "no client certificate"
    host = "127.0.0.2" if fault == "wrong name" else "127.0.0.1"
    with scripted_gateway(credentials=server_credentials(authority, mutual=mutual), host=host) as gateway:
        settings = ExporterSettings.load(
            export_addr=gateway.address,
            instance_id="i",
            tls_ca_file=other.file if fault == "wrong authority" else authority.file,
        )
        exporter, client = secure_exporter(queue, settings)
        report = exporter.run_pass()
        client.close()
        assert gateway.received == []
    assert (report.outcome, report.remaining, report.dead) == (PassOutcome.OUTAGE, 1, 0)
    assert str(report.problem).startswith("UNAVAILABLE")


def test_a_client_certificate_is_accepted_by_a_gateway_that_requires_one(
    database: Database, queue: ExportQueue, authority: CertificateAuthority
) -> None:
    make_recorder(database).record("search", "submit")
    certificate, key = authority.issue("client")
    with scripted_gateway(credentials=server_credentials(authority, mutual=True)) as gateway:
        settings = ExporterSettings.load(
            export_addr=gateway.address, instance_id="i", tls_ca_file=authority.file, tls_cert_file=certificate,
            tls_key_file=key,
        )  # fmt: skip
        exporter, client = secure_exporter(queue, settings)
        assert exporter.run_pass().acked == 1
        client.close()


def test_a_renewed_client_certificate_is_used_from_the_next_pass_on(
    database: Database, queue: ExportQueue, authority: CertificateAuthority, tmp_path: Path
) -> None:
    (tmp_path / "retired").mkdir()
    retired = CertificateAuthority(tmp_path / "retired")
    certificate, key = retired.issue("client")
    with scripted_gateway(credentials=server_credentials(authority, mutual=True)) as gateway:
        settings = ExporterSettings.load(
            export_addr=gateway.address, instance_id="i", tls_ca_file=authority.file, tls_cert_file=certificate,
            tls_key_file=key,
        )  # fmt: skip
        exporter, client = secure_exporter(queue, settings)
        make_recorder(database).record("search", "submit")
        assert exporter.run_pass().outcome is PassOutcome.OUTAGE
        new_certificate, new_key = authority.issue("renewed")
        new_certificate.replace(certificate)  # but not yet its key, so the previous pair is used
        assert exporter.run_pass().outcome is PassOutcome.OUTAGE
        new_key.replace(key)
        assert exporter.run_pass().acked == 1
        client.close()


def test_an_authority_that_changes_in_the_middle_of_a_stream_does_not_break_it(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority.file.read_bytes())
    may_go_on = threading.Event()
    sent = [event() for _ in range(2)]

    def batches() -> Iterator[pb.RecordEventsRequest]:
        yield batch(sent[0])
        may_go_on.wait(10)
        yield batch(sent[1])

    with scripted_gateway(credentials=server_credentials(authority)) as gateway:
        client = GatewayClient.from_settings(
            ExporterSettings.load(export_addr=gateway.address, instance_id="i", tls_ca_file=trusted)
        )
        answers = iter(client.open_stream("first", batches()))
        assert next(answers).succeeded_events == [sent[0].id]
        trusted.write_bytes(authority.file.read_bytes() * 2)
        assert len(list(client.open_stream("second", [batch(event())]))) == 1
        may_go_on.set()
        assert [one for answer in answers for one in answer.succeeded_events] == [sent[1].id]
        client.close()


def test_a_client_made_by_hand_cannot_send_a_token_in_plain_text() -> None:
    settings = ExporterSettings.load(export_addr="http://127.0.0.1:1", instance_id="i")
    assert settings.address is not None
    with pytest.raises(ValueError, match="a token is never sent over plain text"):
        GatewayClient(
            settings.address, settings.identifier(), deadline=settings.rpc_deadline, channel_credentials=None,
            tokens=StaticToken("t"),
        )  # fmt: skip


def test_without_an_address_there_is_no_client() -> None:
    with pytest.raises(ValueError, match="TELEMETRY_GATEWAY_EXPORTER_EXPORT_ADDR is not set"):
        GatewayClient.from_settings(ExporterSettings.load())
    assert token_source(ExporterSettings.load()) is None
