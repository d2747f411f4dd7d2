"""How many requests one address may send. No address is stored, nor written anywhere."""

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable
from typing import Final

from telemetry.web.asgi import Scope
from telemetry_runtime.token_buckets import TokenBuckets

_SALT_SECONDS: Final = 3600
_KEY_BYTES: Final = 12
_IPV6_NETWORK: Final = 64


class AddressLimit:
    """A token bucket for each address; in memory, for this process.

    SECURITY: a bucket is found by a hash of the address under a salt that nothing else knows and that is replaced every
    hour, with all buckets. So not even this process can tell who its callers were.

    Args:
        requests_per_second: How many requests an address may send.
        burst_seconds: How many seconds' worth an address that was silent may send at once.
        clock: Tells seconds from some point on.
        make_salt: Makes unguessable bytes.
        max_callers: How many addresses are told apart; past them, who was silent for longest is forgotten.
    """

    def __init__(
        self,
        requests_per_second: float,
        *,
        burst_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        make_salt: Callable[[], bytes] = lambda: secrets.token_bytes(hashlib.blake2b.SALT_SIZE),
        max_callers: int = 100_000,
    ) -> None:
        self._clock = clock
        self._make_salt = make_salt
        burst = max(1.0, requests_per_second * burst_seconds)
        self._buckets: TokenBuckets[bytes] = TokenBuckets(requests_per_second, size=burst, most=max_callers)
        self._renew_salt()

    def retry_after(self, scope: Scope) -> float | None:
        """Takes a request off its address's bucket.

        Args:
            scope: The request's ASGI scope; one without an address, as behind a Unix socket, is not limited.

        Returns:
            In how many seconds a request may come again; None where this one may be served.
        """
        client = scope.get("client")
        if client is None:
            return None
        now = self._clock()
        if now - self._salted_at >= _SALT_SECONDS:
            self._renew_salt()
        bucket = self._buckets.refilled(self._key(client[0]), now)
        if bucket.level < 1:
            return (1 - bucket.level) / self._buckets.rate
        bucket.level -= 1
        return None

    def _renew_salt(self) -> None:
        self._salt = self._make_salt()
        self._salted_at = self._clock()
        self._buckets.clear()

    def _key(self, address: str) -> bytes:
        return hashlib.blake2b(_network(address), digest_size=_KEY_BYTES, salt=self._salt).digest()


def _network(address: str) -> bytes:
    """Returns what stands for one caller: an IPv4 address, or the IPv6 network that one connection has all of."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode("utf-8", "replace")
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.packed
    if parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.packed
    return parsed.packed[: _IPV6_NETWORK // 8]
