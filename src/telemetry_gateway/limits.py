"""How much one publisher may send."""

import time
from collections.abc import Callable
from typing import Final

from telemetry_gateway.errors import OverLimitError
from telemetry_runtime.token_buckets import TokenBuckets

_MAX_PUBLISHERS: Final = 10_000


class PublisherLimits:
    """Two token buckets for each publisher: events and bytes.

    A batch passes while both hold anything, however large it is, and what it took over is
    owed: so a batch larger than a bucket is slowed down, never stuck.

    Args:
        events_per_second: None: any number.
        bytes_per_second: Of serialized requests; None: any number.
        burst_seconds: How many seconds' worth a publisher that was silent may send at once.
        clock: Tells seconds from some point on.
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
        """Takes a batch off a publisher's buckets.

        Raises:
            OverLimitError: It has sent too much; nothing is taken.
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
                    f"this publisher may send {rate:g} {what} a second",
                    retry_after=(1 - bucket.level) / rate,
                    limit=what,
                )
        for *_, bucket, amount in limits:
            bucket.level -= amount


def _buckets(rate: float | None, burst_seconds: float) -> TokenBuckets[str] | None:
    return None if rate is None else TokenBuckets(rate, size=rate * burst_seconds, most=_MAX_PUBLISHERS)
