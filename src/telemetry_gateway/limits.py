"""Rate limits of publishers."""

import time
from collections.abc import Callable
from typing import Final

from telemetry_gateway.errors import OverLimitError
from telemetry_runtime.token_buckets import TokenBuckets

_MAX_PUBLISHERS: Final = 10_000


class PublisherLimits:
    """Two token buckets for each publisher, one for events and one for bytes.

    A batch of any size is accepted while both buckets have a positive level. The level may then become negative, so a
    batch larger than a bucket delays the next one, but is never blocked forever.

    Args:
        events_per_second: The limit of events, or None for no limit.
        bytes_per_second: The limit of bytes of serialized requests, or None for no limit.
        burst_seconds: The size of a bucket, as the number of seconds that fill it.
        clock: Returns the time of a monotonic clock in seconds.
    """

    def __init__(
        self,
        events_per_second: float | None,
        bytes_per_second: float | None,
        *,
        burst_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._events = _buckets(events_per_second, burst_seconds)
        self._bytes = _buckets(bytes_per_second, burst_seconds)

    def take(self, publisher: str, events: int, size: int) -> None:
        """Take the tokens for a batch from a publisher's buckets.

        Raises:
            OverLimitError: A bucket is empty. No tokens are taken.
        """
        now = self._clock()
        limits = [
            (what, buckets.rate, buckets.refilled(publisher, now), amount)
            for what, buckets, amount in (("events", self._events, events), ("bytes", self._bytes, size))
            if buckets is not None
        ]
        for what, rate, bucket, _ in limits:
            if bucket.level <= 0:
                raise OverLimitError(
                    f"this publisher exceeds its limit of {rate:g} {what} per second",
                    retry_after=(1 - bucket.level) / rate,
                    limit=what,
                )
        for *_, bucket, amount in limits:
            bucket.level -= amount


def _buckets(rate: float | None, burst_seconds: float) -> TokenBuckets[str] | None:
    return None if rate is None else TokenBuckets(rate, size=rate * burst_seconds, most=_MAX_PUBLISHERS)
