"""Check tokens by token introspection (RFC 7662)."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from telemetry_gateway.errors import PermissionDeniedError
from telemetry_gateway.identity.authority import Authority
from telemetry_gateway.identity.claims import check_scope, check_service

_MAX_CACHED: Final = 10_000


class Introspection:
    """Asks an authority whether a token is active, and caches the response, also a negative one.

    Args:
        authority: The HTTP client.
        url: The introspection endpoint.
        client: The gateway's client id and secret at the authority.
        service_claim: The claim that must be the service's id, or None to check only the scope.
        cache_for: How long to cache a response. An expired token is rejected earlier.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        authority: Authority,
        url: str,
        client: tuple[str, str],
        *,
        service_claim: str | None = None,
        cache_for: timedelta,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority
        self._url = url
        self._client = client
        self._service_claim = service_claim
        self._cache_for = cache_for.total_seconds()
        self._clock = clock
        # By the token's hash, so that no token is stored. The oldest entry is evicted when the cache is full.
        self._cache: OrderedDict[bytes, tuple[float, Mapping[str, Any]]] = OrderedDict()

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return if the token is active and has the scope, see `Authenticator`."""
        claims = await self._claims(token)
        expires = claims.get("exp")
        expired = isinstance(expires, int | float) and expires <= self._clock()
        # SECURITY: `active` must be the JSON value true, and an expired token is rejected even if it is cached.
        if claims.get("active") is not True or expired:
            raise PermissionDeniedError("the token is not active")
        check_scope(claims)
        check_service(claims, self._service_claim, service_id)

    async def _claims(self, token: str) -> Mapping[str, Any]:
        key = hashlib.sha256(token.encode()).digest()
        until, claims = self._cache.get(key, (0.0, {}))
        if self._clock() < until:
            return claims
        form = {"token": token, "token_type_hint": "access_token"}
        claims = await self._authority.ask(self._url, form=form, client=self._client)
        self._cache[key] = (self._clock() + self._cache_for, claims)
        self._cache.move_to_end(key)
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return claims
