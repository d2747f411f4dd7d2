"""A process that records and exports for a long time: memory, descriptors, threads and SQLite's WAL do not grow."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import pytest

MINUTES = float(os.environ.get("TELEMETRY_TEST_SOAK_MINUTES", "0.34"))
"""The duration; `make faults` raises it."""
SUPPORT = Path(__file__).parents[2] / "support"
# The allowed growth from the second third of the samples to the last one: normal variation of a process, but less than
# a leak adds. In half an hour 24 MB are less than 200 bytes per event.
ALLOWED = {"memory": 24_000_000, "descriptors": 4, "threads": 4, "log": 16 * 1024 * 1024}


def growth(samples: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Return the difference between the medians of the last and the second third."""
    third = len(samples) // 3
    before, after = samples[third : 2 * third], samples[-third:]
    return {name: median(each[name] for each in after) - median(each[name] for each in before) for name in ALLOWED}


def grown(samples: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Return the resources that grew by more than allowed."""
    return {name: by for name, by in growth(samples).items() if by > ALLOWED[name]}


def soak(url: str, folder: Path, minutes: float, *, leak: bool = False) -> list[dict[str, int]]:
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "soaking_process.py"), url, str(folder), str(60 * minutes), str(leak)],
        env={**os.environ, "PYTHONPATH": str(SUPPORT.parent)},
        capture_output=True, text=True, timeout=60 * minutes + 200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.timeout(300 + 60 * int(MINUTES + 1))
@pytest.mark.parametrize("database_kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_nothing_grows(migrated_url: str, tmp_path: Path) -> None:
    *samples, end = soak(migrated_url, tmp_path, MINUTES)
    print(f"{MINUTES} minutes, {end['recorded']} events, {len(samples)} samples: {growth(samples)}")
    print(f"in the end: {samples[-1]}")
    assert end["pending"] == 0
    assert end["recorded"] > 500
    assert len(samples) >= 9
    assert grown(samples) == {}


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.timeout(300)
def test_the_limits_detect_a_leak(migrated_url: str, tmp_path: Path) -> None:
    *samples, _ = soak(migrated_url, tmp_path, 0.2, leak=True)
    assert {"descriptors"} <= set(grown(samples))
    leaking = [{**each, "memory": each["memory"] + 1_000_000 * number} for number, each in enumerate(samples * 5)]
    assert "memory" in grown(leaking)
