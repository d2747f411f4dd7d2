"""Tokens that an authority issues and checks, over real HTTP, and client certificates."""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from joserfc.jwk import ECKey, OctKey

from support.gateway_authority import AUDIENCE, CLIENT, ISSUER, SCOPE, TestAuthority, running_authority
from support.gateway_certificates import CertificateAuthority
from support.gateway_client import INSTANCE, SERVICE, event, send
from support.gateway_server import RunningGateway, running_gateway
from telemetry_gateway import AuthenticatorUnavailableError, PermissionDeniedError
from telemetry_gateway.identity.authority import Authority
from telemetry_gateway.identity.introspection import Introspection
from telemetry_gateway.identity.jwts import JwtRules, Jwts

DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def authority() -> Iterator[TestAuthority]:
    with running_authority() as running:
        yield running


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class TestJwts:
    @pytest.fixture
    def gateway(self, tmp_path: Path, authority: TestAuthority) -> Iterator[RunningGateway]:
        with running_gateway(
            tmp_path,
            jwt_jwks_url=f"{authority.url}/jwks",
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            token_service_claim="client_id",
        ) as running:
            yield running

    def _send(self, gateway: RunningGateway, token: str) -> tuple[grpc.StatusCode, str]:
        with gateway.channel() as channel:
            answer = send(channel, [event()], SERVICE, token=token)
        assert token not in answer.details
        return answer.code, answer.details

    def test_a_valid_one_is_accepted_and_keys_are_fetched_once(
        self, gateway: RunningGateway, authority: TestAuthority
    ) -> None:
        for claims in ({}, {"scope": None, "scp": ["other", SCOPE]}, {"aud": ["x", AUDIENCE]}):
            assert self._send(gateway, authority.sign(**claims)) == (grpc.StatusCode.OK, "")
        assert authority.asked == ["/jwks"]

    @pytest.mark.parametrize(
        ("claims", "details"),
        [
            ({"exp": 1_000_000_000}, "the token has expired"),
            ({"exp": None}, "the token's claim exp is missing or wrong"),
            ({"nbf": 4_000_000_000}, "the token's claim nbf is missing or wrong"),
            ({"iss": "https://other.test"}, "the token's claim iss is missing or wrong"),
            ({"iss": None}, "the token's claim iss is missing or wrong"),
            ({"aud": "other"}, "the token's claim aud is missing or wrong"),
            ({"aud": None}, "the token's claim aud is missing or wrong"),
            ({"scope": "openid"}, f"the token lacks the scope {SCOPE}"),
            ({"scope": f"x{SCOPE}"}, f"the token lacks the scope {SCOPE}"),
            ({"scope": None}, f"the token lacks the scope {SCOPE}"),
            ({"client_id": "search"}, "the token is not valid for this managed service"),
            ({"client_id": None}, "the token is not valid for this managed service"),
        ],
    )
    def test_invalid_claims(
        self, gateway: RunningGateway, authority: TestAuthority, claims: dict[str, Any], details: str
    ) -> None:
        assert self._send(gateway, authority.sign(**claims)) == (DENIED, details)

    def test_a_signature_of_another_key(self, gateway: RunningGateway, authority: TestAuthority) -> None:
        forged = authority.sign(ECKey.generate_key("P-256", {"kid": "first"}))

        assert self._send(gateway, forged) == (DENIED, "the token's signature is not valid")

    def test_the_public_key_as_a_shared_secret(self, gateway: RunningGateway, authority: TestAuthority) -> None:
        public = json.dumps(authority.key.as_dict(private=False))

        forged = authority.sign(OctKey.import_key(public.encode()), {"alg": "HS256"})

        assert self._send(gateway, forged) == (DENIED, "the token's signature is not valid")

    def test_a_missing_signature(self, gateway: RunningGateway, authority: TestAuthority) -> None:
        header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"first"}').rstrip(b"=").decode()
        payload = authority.sign().split(".")[1]

        assert self._send(gateway, f"{header}.{payload}.")[0] is DENIED

    @pytest.mark.parametrize("token", ["nonsense", "a.b.c", "....", "e30.e30.e30"])
    def test_a_token_that_is_not_a_jwt(self, gateway: RunningGateway, token: str) -> None:
        assert self._send(gateway, token)[0] is DENIED

    @pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"no json"), (200, b"[]"), (200, b"{}")])
    def test_an_issuer_without_a_valid_response(
        self, gateway: RunningGateway, authority: TestAuthority, answer: tuple[int, bytes]
    ) -> None:
        authority.answer_with = answer

        code, details = self._send(gateway, authority.sign())

        assert code is grpc.StatusCode.UNAVAILABLE
        assert details.startswith("the token cannot be checked now: ")


def _jwts(authority: TestAuthority, clock: Clock) -> Jwts:
    return Jwts(Authority(), JwtRules(f"{authority.url}/jwks", ISSUER, AUDIENCE), clock=clock)


async def _passes(jwts: Jwts | Introspection, token: str) -> bool:
    try:
        await jwts.authenticate(token, "billing")
    except PermissionDeniedError:
        return False
    return True


class TestKeys:
    """When keys are fetched. Each test has its own event loop and needs no gRPC."""

    def test_a_new_key_is_fetched_but_not_for_every_token(self, authority: TestAuthority) -> None:
        clock = Clock()

        async def scenario() -> list[bool]:
            jwts = _jwts(authority, clock)
            seen = [await _passes(jwts, authority.sign())]
            authority.rotate_key()
            seen.append(await _passes(jwts, authority.sign()))
            clock.now += 11
            seen.append(await _passes(jwts, authority.sign()))
            return seen

        assert _run(scenario()) == [True, False, True]
        assert authority.asked == ["/jwks", "/jwks"]

    def test_known_keys_stay_valid_while_the_issuer_is_unavailable(self, authority: TestAuthority) -> None:
        clock = Clock()

        async def scenario() -> list[bool]:
            jwts = _jwts(authority, clock)
            seen = [await _passes(jwts, authority.sign())]
            for answer in ((503, b""), (200, b"{}")):
                authority.answer_with = answer
                clock.now += 601
                seen.append(await _passes(jwts, authority.sign(exp=int(clock.now) + 60)))
            return seen

        assert _run(scenario()) == [True, True, True]
        assert len(authority.asked) == 3

    def test_an_unavailable_issuer_is_not_requested_for_every_token(self, authority: TestAuthority) -> None:
        authority.answer_with = (503, b"")

        async def scenario() -> None:
            jwts = _jwts(authority, Clock())
            for _ in range(3):
                with pytest.raises(AuthenticatorUnavailableError):
                    await jwts.authenticate(authority.sign(), "billing")

        _run(scenario())
        assert authority.asked == ["/jwks"]


class TestIntrospection:
    @pytest.fixture
    def gateway(self, tmp_path: Path) -> Iterator[tuple[RunningGateway, TestAuthority]]:
        certificates = CertificateAuthority(tmp_path)
        with (
            running_authority(certificates.issue("authority")) as authority,
            running_gateway(
                tmp_path,
                introspection_url=f"{authority.url}/introspect",
                introspection_client_id=CLIENT[0],
                introspection_client_secret=CLIENT[1],
                authority_ca_file=certificates.file,
            ) as running,
        ):
            authority.tokens["good"] = {"active": True, "scope": SCOPE, "client_id": "billing"}
            yield running, authority

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            ({"active": True, "scope": SCOPE}, grpc.StatusCode.OK),
            ({"active": True, "scope": "other"}, DENIED),
            ({"active": True, "scope": SCOPE, "exp": 1_000_000_000}, DENIED),
            ({"active": "true", "scope": SCOPE}, DENIED),
            ({"active": False, "scope": SCOPE}, DENIED),
            ({}, DENIED),
        ],
    )
    def test_the_authority_decides(
        self, gateway: tuple[RunningGateway, TestAuthority], answer: dict[str, Any], code: grpc.StatusCode
    ) -> None:
        running, authority = gateway
        authority.tokens["token"] = answer

        with running.channel() as channel:
            assert send(channel, [event()], SERVICE, token="token").code is code

    @pytest.mark.parametrize("token", ["good", "bad"])
    def test_responses_are_cached_also_negative_ones(
        self, gateway: tuple[RunningGateway, TestAuthority], token: str
    ) -> None:
        running, authority = gateway

        with running.channel() as channel:
            codes = {send(channel, [event()], SERVICE, token=token).code for _ in range(3)}

        assert codes == {grpc.StatusCode.OK if token == "good" else DENIED}
        assert authority.asked == ["/introspect"]

    def test_an_unavailable_authority_never_accepts_a_token(
        self, gateway: tuple[RunningGateway, TestAuthority]
    ) -> None:
        running, authority = gateway
        authority.answer_with = (500, b"")

        with running.channel() as channel:
            broken = send(channel, [event()], SERVICE, token="good")
            authority.answer_with = None
            well = send(channel, [event()], SERVICE, token="good")

        assert broken.code is grpc.StatusCode.UNAVAILABLE
        assert broken.details == "the token cannot be checked now: the authority responded with status 500"
        assert well.code is grpc.StatusCode.OK

    def test_an_authority_with_an_untrusted_certificate(self, tmp_path: Path) -> None:
        real, other = CertificateAuthority(tmp_path, "real"), CertificateAuthority(tmp_path, "other")
        with running_authority(real.issue("authority")) as authority:

            async def scenario() -> None:
                introspection = Introspection(
                    Authority(other.file), f"{authority.url}/introspect", CLIENT, cache_for=timedelta(seconds=1)
                )
                with pytest.raises(AuthenticatorUnavailableError, match="its authority is not trusted"):
                    await introspection.authenticate("good", "billing")

            _run(scenario())
            assert authority.asked == []

    @pytest.mark.interpreter
    def test_an_authority_without_key_identifiers_is_accepted_or_reported(self, tmp_path: Path) -> None:
        certificates = CertificateAuthority(tmp_path, key_identifiers=False)
        with running_authority(certificates.issue("authority")) as authority:
            asking = Authority(certificates.file).ask(f"{authority.url}/jwks")
            if sys.version_info >= (3, 13):
                with pytest.raises(AuthenticatorUnavailableError, match="lacks the key identifier of its authority"):
                    asyncio.run(asking)
            else:
                assert "keys" in asyncio.run(asking)

    def test_a_cached_response_expires_with_its_time_and_its_token(self, authority: TestAuthority) -> None:
        clock = Clock()
        authority.tokens["token"] = {"active": True, "scope": SCOPE, "exp": clock.now + 50}

        async def scenario() -> list[bool]:
            introspection = Introspection(
                Authority(), f"{authority.url}/introspect", CLIENT, cache_for=timedelta(seconds=30), clock=clock
            )
            seen = []
            for _ in range(3):
                seen.append(await _passes(introspection, "token"))
                clock.now += 31
            return seen

        assert _run(scenario()) == [True, True, False]
        assert authority.asked == ["/introspect"] * 3

    def test_the_size_of_the_cache_is_limited(self, authority: TestAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("telemetry_gateway.identity.introspection._MAX_CACHED", 2)

        async def scenario() -> None:
            introspection = Introspection(
                Authority(), f"{authority.url}/introspect", CLIENT, cache_for=timedelta(minutes=1)
            )
            for token in ("a", "b", "c", "b", "a"):
                assert not await _passes(introspection, token)

        _run(scenario())
        assert len(authority.asked) == 4


class TestCertificates:
    @pytest.fixture
    def certificates(self, tmp_path: Path) -> CertificateAuthority:
        return CertificateAuthority(tmp_path)

    def _send(self, address: str, root: Path, client: tuple[Path, Path] | None = None) -> grpc.StatusCode:
        credentials = grpc.ssl_channel_credentials(
            root.read_bytes(),
            None if client is None else client[1].read_bytes(),
            None if client is None else client[0].read_bytes(),
        )
        with grpc.secure_channel(address, credentials) as channel:
            return send(channel, [event()], INSTANCE).code

    def test_tls(self, tmp_path: Path, certificates: CertificateAuthority) -> None:
        certificate, key = certificates.issue("server")
        other = CertificateAuthority(tmp_path, "other")
        with running_gateway(tmp_path, tls_cert_file=certificate, tls_key_file=key) as gateway:
            assert self._send(gateway.address, certificates.file) is grpc.StatusCode.OK
            assert self._send(gateway.address, other.file) is grpc.StatusCode.UNAVAILABLE
            with gateway.channel() as plain:
                assert send(plain, [event()]).code is grpc.StatusCode.UNAVAILABLE

    @pytest.mark.interpreter
    def test_mutual_tls(self, tmp_path: Path, certificates: CertificateAuthority) -> None:
        certificate, key = certificates.issue("server")
        clients, strangers = CertificateAuthority(tmp_path, "clients"), CertificateAuthority(tmp_path, "strangers")
        with running_gateway(
            tmp_path, tls_cert_file=certificate, tls_key_file=key, tls_client_ca_file=clients.file
        ) as gateway:
            root = certificates.file
            assert self._send(gateway.address, root, clients.issue("friend")) is grpc.StatusCode.OK
            assert self._send(gateway.address, root, strangers.issue("stranger")) is grpc.StatusCode.UNAVAILABLE
            assert self._send(gateway.address, root) is grpc.StatusCode.UNAVAILABLE

    def test_a_renewed_certificate_is_used_without_a_restart(
        self, tmp_path: Path, certificates: CertificateAuthority
    ) -> None:
        certificate, key = certificates.issue("server")
        renewing = CertificateAuthority(tmp_path, "renewing")
        with running_gateway(tmp_path, tls_cert_file=certificate, tls_key_file=key) as gateway:
            assert self._send(gateway.address, certificates.file) is grpc.StatusCode.OK
            new_certificate, new_key = renewing.issue("renewed")
            new_certificate.replace(certificate)  # the key is not replaced yet
            assert self._send(gateway.address, certificates.file) is grpc.StatusCode.OK
            new_key.replace(key)
            assert self._send(gateway.address, renewing.file) is grpc.StatusCode.OK
            assert self._send(gateway.address, certificates.file) is grpc.StatusCode.UNAVAILABLE

    def test_authorities_of_clients_are_reloaded_without_a_restart(
        self, tmp_path: Path, certificates: CertificateAuthority
    ) -> None:
        certificate, key = certificates.issue("server")
        clients, others = CertificateAuthority(tmp_path, "clients"), CertificateAuthority(tmp_path, "others")
        friend, stranger = clients.issue("friend"), others.issue("stranger")
        with running_gateway(
            tmp_path, tls_cert_file=certificate, tls_key_file=key, tls_client_ca_file=clients.file
        ) as gateway:
            assert self._send(gateway.address, certificates.file, friend) is grpc.StatusCode.OK
            others.file.replace(clients.file)
            assert self._send(gateway.address, certificates.file, friend) is grpc.StatusCode.UNAVAILABLE
            assert self._send(gateway.address, certificates.file, stranger) is grpc.StatusCode.OK
            assert self._send(gateway.address, certificates.file) is grpc.StatusCode.UNAVAILABLE


class Licenses:
    async def is_valid(self, license_key: str, instance_id: str) -> bool:
        if instance_id == "unsure":
            raise AuthenticatorUnavailableError("the license server is away")
        return license_key == "good"


@pytest.mark.parametrize(
    ("key", "instance_id", "code"),
    [
        ("good", "x", grpc.StatusCode.OK),
        ("bad", "x", DENIED),
        ("good", "unsure", grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_license_keys_are_checked_by_a_hook(tmp_path: Path, key: str, instance_id: str, code: grpc.StatusCode) -> None:
    identifier = type(INSTANCE)(licensed_instance={"license_key": key, "instance_id": instance_id})  # type: ignore[arg-type]
    with running_gateway(tmp_path, license_check=Licenses()) as gateway, gateway.channel() as channel:
        assert send(channel, [event()], identifier).code is code
        assert send(channel, [event()], INSTANCE).code is grpc.StatusCode.OK


def test_several_authenticators(tmp_path: Path, authority: TestAuthority) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('billing = "static"\n')
    with (
        running_gateway(
            tmp_path,
            service_tokens_file=tokens,
            jwt_jwks_url=f"{authority.url}/jwks",
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            introspection_url=f"{authority.url}/introspect",
            introspection_client_id=CLIENT[0],
            introspection_client_secret="wrong",
        ) as gateway,
        gateway.channel() as channel,
    ):
        assert send(channel, [event()], SERVICE, token="static").code is grpc.StatusCode.OK
        assert authority.asked == []
        assert send(channel, [event()], SERVICE, token=authority.sign()).code is grpc.StatusCode.OK
        # The first two deny it, but the third, which is unavailable, might accept it.
        assert send(channel, [event()], SERVICE, token="opaque").code is grpc.StatusCode.UNAVAILABLE


def test_tokens_are_added_and_removed_without_a_restart(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('billing = "first"\n')
    with running_gateway(tmp_path, service_tokens_file=tokens) as gateway, gateway.channel() as channel:
        assert send(channel, [event()], SERVICE, token="first").code is grpc.StatusCode.OK
        assert send(channel, [event()], SERVICE, token="second").code is grpc.StatusCode.PERMISSION_DENIED
        tokens.write_text('billing = "second" # first was leaked\n')
        assert send(channel, [event()], SERVICE, token="first").code is grpc.StatusCode.PERMISSION_DENIED
        assert send(channel, [event()], SERVICE, token="second").code is grpc.StatusCode.OK
        tokens.write_text('billing = "SECRET')
        assert send(channel, [event()], SERVICE, token="second").code is grpc.StatusCode.OK


def _run(work: Any) -> Any:
    return asyncio.run(work)
