"""Speed, as ratios to floors and peers measured in the same run.

make bench                                        # a few minutes on two cores
python benchmarks/pipeline.py --full --only drain # 1,000,000 events
python benchmarks/pipeline.py --save now.json --compare earlier.json
python benchmarks/pipeline.py --report docs/performance.md
"""

import argparse
import importlib
import json
import platform
import shlex
import sqlite3
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Comparison
from report import markdown, write_report
from rich.console import Console
from stores import Stores, stores

PATHS = ("single", "threads", "batch", "felt", "drain", "backlog", "panels", "gateway", "pings", "imports")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more rounds, and 1,000,000 events where it matters")
    parser.add_argument("--only", action="append", choices=PATHS, help="one path; may be repeated")
    parser.add_argument("--save", type=Path, help="write the figures to this file, as JSON")
    parser.add_argument("--compare", type=Path, help="also show the ratios of an earlier run")
    parser.add_argument("--report", type=Path, help="write the figures into this Markdown page, with plots")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    earlier = json.loads(options.compare.read_text()) if options.compare else {}
    console = Console(soft_wrap=True, highlight=False)
    with stores() as opened:
        described = machine(opened)
        console.print(described)
        found = []
        for comparison in measure(opened, options.only or PATHS, full=options.full):
            console.print(line(comparison, earlier))
            found.append(comparison)
    console.print(markdown(found))
    if options.save:
        options.save.write_text(
            json.dumps({each.path: asdict(each) | {"ratio": each.ratio} for each in found}, indent=1)
        )
    if options.report:
        write_report(options.report, found, described, f"python {shlex.join(sys.argv)}")


def machine(opened: Stores) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in opened.settings().items())
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL: {settings}"


def measure(opened: Stores, paths: Sequence[str], *, full: bool) -> Iterator[Comparison]:
    for path in paths:
        yield from importlib.import_module(f"paths.{path}").measure(opened, full=full)


def line(found: Comparison, earlier: dict[str, Any]) -> str:
    before = f", earlier {earlier[found.path]['ratio']:.2f}" if found.path in earlier else ""
    return f"{found.path}: {found.ratio:.2f}{before}"


if __name__ == "__main__":
    main()
