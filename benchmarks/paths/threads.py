"""`record` from 16 and 64 threads, compared with a commit per event and a connection per thread (or from a pool)."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Comparison, interleave
from stores import Stores

HERE = Path(__file__).resolve().parent.parent
LONGEST_P99 = 0.012


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    seconds, rounds = (4.0, 5) if full else (1.5, 3)
    yield compare(stores, "sqlite", 16, 3.0, seconds, rounds)
    yield compare(stores, "sqlite", 64, 4.0, seconds, rounds)
    yield compare(stores, "postgresql", 64, 3.0, seconds, rounds)
    if (preload := slow_disk(stores)) is not None:
        yield compare(stores, "sqlite", 64, 10.0, seconds, rounds, preload=preload)


def compare(
    stores: Stores, kind: str, threads: int, goal: float, seconds: float, rounds: int, *, preload: Path | None = None
) -> Comparison:
    urls = {how: stores.fresh(kind) for how in ("ours", "floor")}
    facts: dict[str, list[dict[str, float]]] = {"ours": [], "floor": []}

    def rate(how: str) -> float:
        facts[how].append(worker(how, urls[how], threads, seconds, preload))
        return facts[how][-1]["rate"]

    figures = interleave({"ours": lambda: rate("ours"), "floor": lambda: rate("floor")}, rounds)
    p99 = {how: sorted(each["p99"] for each in found)[len(found) // 2] for how, found in facts.items()}
    notes = [
        f"p99 {p99['ours'] * 1e3:.1f} ms (floor {p99['floor'] * 1e3:.1f} ms)",
        f"fastest thread {max(each['fairness'] for each in facts['ours']):.2f} times the slowest",
    ]
    disk = ", a disk of 1 ms a sync" if preload else ""
    return Comparison(
        f"record, {threads} threads, {kind}{disk}", "events/s", figures, goal, higher_is_better=True, notes=notes
    )


def worker(how: str, url: str, threads: int, seconds: float, preload: Path | None) -> dict[str, Any]:
    environment = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})}
    done = subprocess.run(
        [sys.executable, str(HERE / "threads_worker.py"), how, url, str(threads), str(seconds)],
        stdout=subprocess.PIPE,
        check=True,
        env=environment,
    )
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def slow_disk(stores: Stores) -> Path | None:
    """Return a library that delays each sync by 1 ms; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = stores.new_folder("slow-disk") / "slow_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, HERE / "slow_disk.c", "-ldl"], check=True)
    return library
