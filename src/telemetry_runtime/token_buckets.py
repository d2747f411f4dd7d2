"""Token buckets by key: how much each of many callers may take."""

from collections import OrderedDict
from collections.abc import Hashable, KeysView
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class TokenBucket:
    """One caller's bucket.

    Attributes:
        level: What is in it; what is taken is subtracted here, below 0 where the caller owes it.
        at: When it was refilled, in seconds.
    """

    level: float
    at: float


class TokenBuckets(Generic[Key]):
    """A bucket for each key, in memory, for this process.

    Args:
        rate: How much flows into each bucket a second.
        size: How much a bucket holds; a new one is full.
        most: How many buckets are kept.
    """

    def __init__(self, rate: float, *, size: float, most: int) -> None:
        self.rate = rate
        self._size = size
        self._most = most
        # The key that was silent for longest goes first; its bucket is the likeliest to be full.
        self._buckets: OrderedDict[Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def refilled(self, key: Key, now: float) -> TokenBucket:
        """Return a key's bucket with all that has flowed in by now, in seconds from some point on."""
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
        """Return the keys whose buckets are kept."""
        return self._buckets.keys()

    def clear(self) -> None:
        """Forget all keys."""
        self._buckets.clear()
