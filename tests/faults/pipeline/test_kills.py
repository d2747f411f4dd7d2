"""kill -9 of any process, at random moments and at named points: no event is lost, repeated or leaked."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.crash_at import POINTS
from support.killable_postgres import KillablePostgres
from support.ledger import Pipeline
from support.ports import free_port

KILLS = int(os.environ.get("TELEMETRY_TEST_KILLS", "3"))
"""The number of kills for each kind of process and each database; `make faults` raises it."""
ROUNDS = max(1, KILLS // 20)
"""How often each named point kills a process."""
EACH = ("recorder", "exporter", "gateway")
# The long run kills each kind of process separately; a short run mixes them.
ALONE = tuple((victim,) for victim in EACH) if KILLS >= 20 else ()
DATABASE_ALONE = (("database",),) if KILLS >= 20 else ()


def seed_of(request: pytest.FixtureRequest) -> int:
    return int.from_bytes(request.node.name.encode()) % 2**32


@pytest.mark.timeout(300 + 5 * KILLS)
@pytest.mark.parametrize("victims", [*ALONE, EACH], ids="-".join)
def test_kills_at_random_moments(
    migrated_url: str, tmp_path: Path, victims: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    found = Pipeline(tmp_path, migrated_url, seed_of(request), free_port()).run(KILLS, victims)
    print(found)
    assert found.promised > 0
    assert sum(found.kills.values()) == KILLS
    assert found.faults == (set(), set(), 0, set())


@pytest.mark.timeout(600 + 300 * ROUNDS)
def test_kills_at_named_points(migrated_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pipeline = Pipeline(tmp_path, migrated_url, seed_of(request), free_port(), rotate_bytes=30_000)
    found = pipeline.run_to_points(ROUNDS)
    print(found)
    assert found.promised > 10
    assert found.kills == {point: ROUNDS for points in POINTS.values() for point in points}
    assert found.faults == (set(), set(), 0, set())


@pytest.fixture
def killable() -> Iterator[KillablePostgres]:
    with KillablePostgres.running() as server:
        yield server


@pytest.mark.timeout(300 + 10 * KILLS)
@pytest.mark.parametrize("victims", [*DATABASE_ALONE, (*EACH, "database")], ids="-".join)
def test_kills_of_postgresql(
    killable: KillablePostgres, tmp_path: Path, victims: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    def outage(chance: random.Random) -> None:
        killable.kill(whole=chance.random() < 0.5, chance=chance)
        killable.start_again(after=chance.uniform(0, 0.5))

    pipeline = Pipeline(tmp_path, killable.migrated_url(), seed_of(request), free_port(), outage=outage)
    found = pipeline.run(KILLS, victims)
    print(found)
    assert found.promised > 10
    assert sum(found.kills.values()) == KILLS
    assert found.faults == (set(), set(), 0, set())
