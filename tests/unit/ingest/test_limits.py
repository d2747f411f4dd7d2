"""The rate limit per address, and that no address is stored."""

import gc
from typing import Any

import pytest

from telemetry_ingest.limits import AddressLimit


class Seconds:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Salts:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> bytes:
        self.made += 1
        return self.made.to_bytes(16)


def scope(address: str | None) -> dict[str, Any]:
    return {"client": None if address is None else (address, 5)}


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


def test_an_address_can_burst_and_then_send_at_its_rate(clock: Seconds) -> None:
    limit = AddressLimit(2, burst_seconds=3, clock=clock)
    assert [limit.retry_after(scope("192.0.2.1")) for _ in range(6)] == [None] * 6
    assert limit.retry_after(scope("192.0.2.1")) == 0.5
    assert limit.retry_after(scope("192.0.2.2")) is None
    clock.now += 0.5
    assert limit.retry_after(scope("192.0.2.1")) is None
    assert limit.retry_after(scope("192.0.2.1")) == 0.5
    clock.now += 100  # it never saves up more than its burst
    assert [limit.retry_after(scope("192.0.2.1")) for _ in range(7)] == [None] * 6 + [0.5]


def test_a_rejected_request_takes_no_token(clock: Seconds) -> None:
    limit = AddressLimit(1, burst_seconds=1, clock=clock)
    limit.retry_after(scope("192.0.2.1"))
    assert [limit.retry_after(scope("192.0.2.1")) for _ in range(5)] == [1.0] * 5


def test_a_rate_below_one_allows_one_request(clock: Seconds) -> None:
    limit = AddressLimit(0.1, burst_seconds=1, clock=clock)
    assert limit.retry_after(scope("192.0.2.1")) is None
    assert limit.retry_after(scope("192.0.2.1")) == 10


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("no address", "no address", True),
        ("no address", "another", False),
    ],
)
def test_callers_are_ipv4_addresses_or_ipv6_networks(clock: Seconds, first: str, second: str, together: bool) -> None:
    limit = AddressLimit(1, burst_seconds=1, clock=clock)
    limit.retry_after(scope(first))
    assert (limit.retry_after(scope(second)) is not None) == together


def test_a_request_without_an_address_is_not_limited(clock: Seconds) -> None:
    limit = AddressLimit(1, burst_seconds=1, clock=clock)
    assert [limit.retry_after(scope(None)) for _ in range(5)] == [None] * 5


def test_renewing_the_salt_clears_all_buckets(clock: Seconds) -> None:
    salts = Salts()
    limit = AddressLimit(0.0001, burst_seconds=1, clock=clock, make_salt=salts)
    limit.retry_after(scope("192.0.2.1"))
    clock.now += 3_599
    assert limit.retry_after(scope("192.0.2.1")) is not None
    assert salts.made == 1
    clock.now += 1
    assert limit.retry_after(scope("192.0.2.1")) is None
    assert salts.made == 2
    assert len(limit._buckets) == 1


def test_two_limits_use_different_keys_for_an_address() -> None:
    one, other = (AddressLimit(1, burst_seconds=1) for _ in range(2))
    for limit in (one, other):
        limit.retry_after(scope("192.0.2.1"))
    assert set(one._buckets.keys()) != set(other._buckets.keys())


def test_no_address_is_stored(clock: Seconds) -> None:
    limit = AddressLimit(1, burst_seconds=1, clock=clock)
    address = "203.0.113.77"
    limit.retry_after(scope(address))
    kept = gc.get_referents(limit), vars(limit._buckets)
    assert address not in str(kept)
    assert bytes([203, 0, 113, 77]) not in b"".join(limit._buckets.keys())


def test_the_longest_idle_callers_are_dropped_first(clock: Seconds) -> None:
    limit = AddressLimit(0.001, burst_seconds=1, clock=clock, max_callers=2)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        limit.retry_after(scope(address))
    assert len(limit._buckets) == 2
    assert limit.retry_after(scope("192.0.2.1")) is not None
    assert limit.retry_after(scope("192.0.2.2")) is None
