"""What the plugin costs a pytest run that has nothing to do with telemetry: `python benchmarks/pytest_start.py`.

Pairs of runs of one empty test, with the plugin and without it, one after the other and in turns of order. Prints the
median of their differences, by the clock and in processor time. The latter is to be at most 50 ms: a start waits for
nothing else, and what else runs on the machine does not change it.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 0.050
OTHERS = ("cov", "xdist", "timeout", "hypothesispytest", "anyio")  # of the development environment, alike in both runs
PLUGIN = "pytest_telemetry.plugin"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_nothing.py").write_text("def test_nothing(): pass\n")
        quiet = [each for name in OTHERS for each in ("-p", f"no:{name}")]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *quiet, "test_nothing.py"]
        cases = {"with": command, "without": [*command, "-p", f"no:{PLUGIN}"]}
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for number in range(-1, pairs):  # the first pair fills caches
            for name in sorted(cases, reverse=number % 2 == 1):
                taken = run(cases[name], folder)
                if number >= 0:
                    figures[name].append(taken)
    added = 0.0
    for what, index in (("by the clock", 0), ("processor time", 1)):
        plain = [each[index] for each in figures["without"]]
        added = statistics.median(each[index] - other for each, other in zip(figures["with"], plain, strict=True))
        print(
            f"{what}: the plugin adds {added * 1000:.1f} ms to {statistics.median(plain) * 1000:.0f} ms; {pairs} pairs"
        )
    return 0 if added <= GOAL else 1


def run(command: list[str], folder: str) -> tuple[float, float]:
    """Return the seconds that a run took, and those of the processor."""
    before, started = processor_time(), time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started, processor_time() - before


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
