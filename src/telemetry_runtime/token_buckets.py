"""Token buckets by key: rate limits for many callers."""

from collections import OrderedDict
from collections.abc import Hashable, KeysView
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class TokenBucket:
    """One caller's bucket.

    Attributes:
        level: The number of tokens in it. Callers subtract what they take; a level below 0 is a debt.
        at: The time of the last refill, in seconds.
    """

    level: float
    at: float


class TokenBuckets(Generic[Key]):
    """A bucket for each key, in memory, for this process.

    Args:
        rate: The number of tokens added to each bucket per second.
        size: The number of tokens in a full bucket; a new bucket is full.
        most: The largest number of buckets to keep.
    """

    def __init__(self, rate: float, *, size: float, most: int) -> None:
        self.rate = rate
        self._size = size
        self._most = most
        # The least recently used key is evicted first, because its bucket is the most likely to be full.
        self._buckets: OrderedDict[Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def refilled(self, key: Key, now: float) -> TokenBucket:
        """Return a key's bucket, refilled up to the time `now`, in seconds of a monotonic clock."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._size, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            bucket.level = min(self._size, bucket.level + (now - bucket.at) * self.rate)
            bucket.at = now
            self._buckets.move_to_end(key)
        return bucket

    def keys(self) -> KeysView[Key]:
        """Return the keys that have a bucket."""
        return self._buckets.keys()

    def clear(self) -> None:
        """Remove all buckets."""
        self._buckets.clear()
