"""Check JWTs with the keys that their issuer publishes (JWKS)."""

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

# SECURITY: public-key algorithms only. With a shared-key algorithm, a token could be signed with the public key.
_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
_LEEWAY_SECONDS: Final = 30
_KEYS_HOLD_SECONDS: Final = 600
# Limits requests to the issuer: tokens with unknown key ids cause at most one request in this time.
_ASK_AGAIN_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class JwtRules:
    """The requirements that a JWT must meet.

    Attributes:
        jwks_url: The URL where the issuer publishes its keys.
        issuer: The required value of the claim `iss`.
        audience: A value that the claim `aud` must contain.
        service_claim: The claim that must be the service's id, or None to check only the scope.
    """

    jwks_url: str
    issuer: str
    audience: str
    service_claim: str | None = None


class Jwts:
    """Checks signature, issuer, audience, expiry and scope of JWTs.

    Args:
        authority: The HTTP client that fetches the keys.
        rules: The requirements that a token must meet.
        clock: Returns the time in seconds since the epoch.
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
        """Return if the token is valid, see `Authenticator`."""
        key_id = _key_id(token)
        claims = self._claims(token, await self._keys_with(key_id))
        check_scope(claims)
        check_service(claims, self._rules.service_claim, service_id)

    def _claims(self, token: str, keys: KeySet) -> Mapping[str, Any]:
        try:
            # SECURITY: the signature is verified before any claim is read.
            claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
            self._registry.validate(claims)
        except ExpiredTokenError:
            problem = "the token has expired"
        except ClaimError as error:
            problem = f"the token's claim {error.claim} is missing or wrong"
        except (JoseError, ValueError, TypeError):
            problem = "the token's signature is not valid"
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
                raise AuthenticatorUnavailableError(
                    "the token cannot be checked now: the issuer's keys are not available"
                )
            return self._keys

    async def _ask(self) -> None:
        self._asked_at = self._clock()
        try:
            published = await self._authority.ask(self._rules.jwks_url)
            self._keys = KeySet.import_key_set(published)  # type: ignore[arg-type]  # checked by it
        except AuthenticatorUnavailableError:
            if self._keys is None:  # otherwise the previous keys stay valid while the issuer is unavailable
                raise
        except (JoseError, ValueError, TypeError, KeyError):
            if self._keys is None:
                raise AuthenticatorUnavailableError(
                    "the token cannot be checked now: the issuer's keys are not a valid key set"
                ) from None


def _key_id(token: str) -> str | None:
    try:
        key_id = jws.extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError, TypeError):
        problem = "the token is not a JWT"
    else:
        return key_id if isinstance(key_id, str) else None
    raise PermissionDeniedError(problem)
