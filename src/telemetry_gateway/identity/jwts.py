"""Tokens that are checked here, with the keys that their issuer publishes (JWT, JWKS)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws, jwt
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError
from joserfc.jwk import KeySet

from telemetry_gateway.errors import AuthenticatorUnavailableError, PermissionDeniedError
from telemetry_gateway.identity.authority import Authority
from telemetry_gateway.identity.claims import check_scope, check_service

# SECURITY: public-key algorithms only. With a shared-key one, an issuer's public key would be a secret to sign with.
_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
_LEEWAY_SECONDS: Final = 30
_KEYS_HOLD_SECONDS: Final = 600
# A made-up key id costs the issuer one question in this time, not one each.
_ASK_AGAIN_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class JwtRules:
    """What a JWT must say.

    Attributes:
        jwks_url: Where the issuer publishes its keys.
        issuer: The claim `iss`.
        audience: What the claim `aud` must hold.
        service_claim: The claim that must name the service; None: the scope is enough.
    """

    jwks_url: str
    issuer: str
    audience: str
    service_claim: str | None = None


class Jwts:
    """Checks signature, issuer, audience, expiry and scope of JWTs.

    Args:
        authority: Carries the question for the keys.
        rules: What a token must say.
        clock: Tells seconds since the epoch.
    """

    def __init__(self, authority: Authority, rules: JwtRules, *, clock: Callable[[], float] = time.time) -> None:
        self._authority = authority
        self._rules = rules
        self._clock = clock
        self._keys: KeySet | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()
        self._registry = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "value": rules.audience},
            exp={"essential": True},
        )

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return when the token passes: see `Authenticator`."""
        key_id = _key_id(token)
        claims = self._claims(token, await self._keys_with(key_id))
        check_scope(claims)
        check_service(claims, self._rules.service_claim, service_id)

    def _claims(self, token: str, keys: KeySet) -> Mapping[str, Any]:
        try:
            # SECURITY: the signature first; no claim is believed before.
            claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
            self._registry.validate(claims)
        except ExpiredTokenError:
            problem = "the token has expired"
        except ClaimError as error:
            problem = f"the token's claim {error.claim} is missing or wrong"
        except (JoseError, ValueError, TypeError):
            problem = "the token's signature is not good"
        else:
            return claims
        raise PermissionDeniedError(problem)

    async def _keys_with(self, key_id: str | None) -> KeySet:
        async with self._asking:
            age = self._clock() - self._asked_at
            known = self._keys is not None and (key_id is None or any(key.kid == key_id for key in self._keys))
            if age >= (_KEYS_HOLD_SECONDS if known else _ASK_AGAIN_SECONDS):
                await self._ask()
            if self._keys is None:
                raise AuthenticatorUnavailableError("the token cannot be checked now: the issuer's keys are not known")
            return self._keys

    async def _ask(self) -> None:
        self._asked_at = self._clock()
        try:
            published = await self._authority.ask(self._rules.jwks_url)
            self._keys = KeySet.import_key_set(published)  # type: ignore[arg-type]  # checked by it
        except AuthenticatorUnavailableError:
            if self._keys is None:  # keys that were good before are good while the issuer is away
                raise
        except (JoseError, ValueError, TypeError, KeyError):
            if self._keys is None:
                raise AuthenticatorUnavailableError(
                    "the token cannot be checked now: the issuer's keys cannot be read"
                ) from None


def _key_id(token: str) -> str | None:
    try:
        key_id = jws.extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError, TypeError):
        problem = "the token is no JWT"
    else:
        return key_id if isinstance(key_id, str) else None
    raise PermissionDeniedError(problem)
