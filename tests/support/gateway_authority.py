"""A small OAuth 2.0 authorization server over real HTTP: publishes keys, signs JWTs, grants and introspects tokens."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

CLIENT = ("gateway", "secret-of-the-gateway")
EXPORTER = ("billing", "secret-of-the-exporter")
ISSUER = "https://issuer.test"
AUDIENCE = "telemetry-gateway"
SCOPE = "telemetry_gateway::events::write"


class TestAuthority:
    """The state and the behaviour of the authority.

    Attributes:
        url: Its URL.
        tokens: The introspection response for each token; other tokens are inactive.
        answer_with: If set, the status and body of every response.
        asked: The path of every request.
    """

    __test__ = False

    def __init__(self, url: str) -> None:
        self.url = url
        self.tokens: dict[str, dict[str, Any]] = {}
        self.answer_with: tuple[int, bytes] | None = None
        self.asked: list[str] = []
        self.key = ECKey.generate_key("P-256", {"kid": "first"})

    def rotate_key(self) -> None:
        """Sign with a new key from now on, and publish only that key."""
        self.key = ECKey.generate_key("P-256", {"kid": "second"})

    def sign(self, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a valid JWT, changed by the arguments; a claim that is None is omitted."""
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 300,
            "scope": f"openid {SCOPE}",
            "client_id": "billing",
        }
        payload = {name: value for name, value in (payload | claims).items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": self.key.kid} | (header or {}), payload, key or self.key)

    def answer(self, path: str, headers: Any, body: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.answer_with is not None:
            return self.answer_with
        if path == "/jwks":
            return 200, json.dumps(KeySet([self.key]).as_dict(private=False)).encode()
        if path == "/introspect":
            return self._introspect(headers, parse_qs(body))
        if path == "/token":
            return self._grant(headers, parse_qs(body))
        return 404, b"{}"

    def _introspect(self, headers: Any, asked: dict[str, list[str]]) -> tuple[int, bytes]:
        if headers.get("authorization") != _basic(CLIENT):
            return 401, b"{}"
        return 200, json.dumps(self.tokens.get(asked["token"][0], {"active": False})).encode()

    def _grant(self, headers: Any, asked: dict[str, list[str]]) -> tuple[int, bytes]:
        if headers.get("authorization") != _basic(EXPORTER) or asked["grant_type"] != ["client_credentials"]:
            return 401, b'{"error": "invalid_client"}'
        token = self.sign(client_id=EXPORTER[0], scope=asked["scope"][0])
        return 200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 300}).encode()


def _basic(client: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(client).encode()).decode()}"


@contextmanager
def running_authority(certificate: tuple[Path, Path] | None = None) -> Iterator[TestAuthority]:
    """Run an authority until the block ends; over HTTPS if certificate and key files are given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["content-length"])).decode())

        def _answer(self, body: str) -> None:
            status, answer = authority.answer(self.path, self.headers, body)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        authority = TestAuthority(f"{scheme}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield authority
        finally:
            server.shutdown()
            thread.join(10)
