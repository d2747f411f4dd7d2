"""Token buckets of publishers."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_gateway import OverLimitError
from telemetry_gateway.limits import PublisherLimits


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_limits_every_batch_is_accepted() -> None:
    limits = PublisherLimits(None, None, burst_seconds=1)
    for _ in range(10):
        limits.take("p", 10**9, 10**9)


def test_each_publisher_has_its_own_limit() -> None:
    limits = PublisherLimits(1, None, burst_seconds=1, clock=Clock())
    limits.take("one", 5, 0)
    with pytest.raises(OverLimitError):
        limits.take("one", 1, 0)
    limits.take("two", 1, 0)


def test_a_batch_is_accepted_after_the_reported_delay() -> None:
    clock = Clock()
    limits = PublisherLimits(10, 1000, burst_seconds=1, clock=clock)
    limits.take("p", 25, 5000)
    with pytest.raises(OverLimitError, match="10 events per second") as caught:
        limits.take("p", 1, 1)
    clock.now += caught.value.retry_after
    with pytest.raises(OverLimitError, match="1000 bytes per second") as caught:
        limits.take("p", 1, 1)
    clock.now += caught.value.retry_after
    limits.take("p", 1, 1)


@pytest.mark.parametrize("batch", [(20, 1), (1, 2_000)])
def test_an_idle_publisher_saves_up_at_most_one_burst(batch: tuple[int, int]) -> None:
    clock = Clock()
    limits = PublisherLimits(10, 1000, burst_seconds=2, clock=clock)
    limits.take("p", 1, 1)
    clock.now += 3_600
    limits.take("p", *batch)
    with pytest.raises(OverLimitError):
        limits.take("p", 1, 1)


def test_the_least_recently_used_publisher_is_evicted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry_gateway.limits._MAX_PUBLISHERS", 2)
    limits = PublisherLimits(1, None, burst_seconds=1, clock=Clock())
    for publisher in "abc":
        limits.take(publisher, 5, 0)
    limits.take("a", 1, 0)  # evicted, so its bucket is full again
    with pytest.raises(OverLimitError):
        limits.take("c", 1, 0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=60))
def test_the_rate_holds_over_a_long_time(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    limits = PublisherLimits(10, None, burst_seconds=2, clock=clock)
    passed = largest = 0
    for pause, events in steps:
        clock.now += pause
        try:
            limits.take("p", events, 0)
        except OverLimitError:
            continue
        passed += events
        largest = max(largest, events)
    # The burst, the tokens added over time, and at most one batch that exceeds them.
    assert passed <= 20 + 10 * clock.now + largest + 1e-6


def test_the_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(OverLimitError("too much", 1.5, "bytes")))
    assert (str(error), error.retry_after) == ("too much", 1.5)
