"""Rate limit per client address. Addresses are neither stored nor logged."""

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
    """A token bucket per address, in the memory of this process.

    SECURITY: the key of a bucket is a salted hash of the address. The salt is secret, and replaced every hour together
    with all buckets. So not even this process can reconstruct the addresses of past callers.

    Args:
        requests_per_second: Allowed requests per second and address.
        burst_seconds: An address that was idle may send the requests of that many seconds at once.
        clock: A monotonic clock, in seconds.
        make_salt: Returns random bytes.
        max_callers: Maximum number of buckets; beyond it, the bucket that was idle the longest is dropped.
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
        """Take one request from the bucket of its address.

        Args:
            scope: The request's ASGI scope. A request without address, as on a Unix socket, is not limited.

        Returns:
            Seconds until the client can retry; None if the request is allowed.
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
    """Return what identifies a caller: an IPv4 address, or the /64 IPv6 network that one connection usually owns."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode("utf-8", "replace")
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.packed
    if parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.packed
    return parsed.packed[: _IPV6_NETWORK // 8]
