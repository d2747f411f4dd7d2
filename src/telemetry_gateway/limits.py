"""How much one publisher may send."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from telemetry_gateway.errors import OverLimitError

_MAX_PUBLISHERS: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    events: float
    bytes: float
    at: float


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
        self._events_rate = events_per_second
        self._bytes_rate = bytes_per_second
        self._burst = burst_seconds
        self._clock = clock
        # The one that sent least recently goes first; its buckets are the likeliest to be full.
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, publisher: str, events: int, size: int) -> None:
        """Takes a batch off a publisher's buckets.

        Raises:
            OverLimitError: It has sent too much; nothing is taken.
        """
        if self._events_rate is None and self._bytes_rate is None:
            return
        bucket = self._bucket(publisher)
        for what, rate, level in (
            ("events", self._events_rate, bucket.events),
            ("bytes", self._bytes_rate, bucket.bytes),
        ):
            if rate is not None and level <= 0:
                raise OverLimitError(
                    f"this publisher may send {rate:g} {what} a second", retry_after=(1 - level) / rate, limit=what
                )
        bucket.events -= events
        bucket.bytes -= size

    def _bucket(self, publisher: str) -> _Bucket:
        now = self._clock()
        events, size = (self._events_rate or 0) * self._burst, (self._bytes_rate or 0) * self._burst
        bucket = self._buckets.get(publisher)
        if bucket is None:
            bucket = self._buckets[publisher] = _Bucket(events, size, now)
            if len(self._buckets) > _MAX_PUBLISHERS:
                self._buckets.popitem(last=False)
        else:
            passed = now - bucket.at
            bucket.events = min(events, bucket.events + passed * (self._events_rate or 0))
            bucket.bytes = min(size, bucket.bytes + passed * (self._bytes_rate or 0))
            bucket.at = now
            self._buckets.move_to_end(publisher)
        return bucket
