"""kill -9, at any moment, of any process: nothing that was promised is lost, nothing stands in the sink twice."""

import os
import socket
from pathlib import Path

import pytest

from support.ledger import Pipeline

KILLS = int(os.environ.get("TELEMETRY_TEST_KILLS", "3"))
"""For each kind of process and each database; `make faults` sets more."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.timeout(120 + 3 * KILLS)
@pytest.mark.parametrize("victims", [("recorder",), ("exporter",), ("gateway",), ("recorder", "exporter", "gateway")])
def test_nothing_is_lost_and_nothing_is_repeated(
    migrated_url: str, tmp_path: Path, victims: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    seed = int.from_bytes(request.node.name.encode()) % 2**32
    found = Pipeline(tmp_path, migrated_url, seed, free_port()).run(KILLS, victims)
    print(found)
    assert found.promised > 10
    assert sum(found.kills.values()) == KILLS
    assert (found.lost, found.duplicated, found.unequal, found.leaked) == (set(), set(), 0, False)
