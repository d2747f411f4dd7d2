"""Speed, as ratios to floors and peers measured in the same run.

make bench                          # a few minutes on two cores
python benchmarks/pipeline.py --full --only drain
python benchmarks/pipeline.py --save earlier.json; python benchmarks/pipeline.py --compare earlier.json
"""

import argparse
import importlib
import json
import platform
import sqlite3
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measure import Comparison
from rich.console import Console
from rich.table import Table
from stores import Stores, stores

PATHS = ("single", "batch", "drain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="also the long ones: 1,000,000 events")
    parser.add_argument("--only", action="append", choices=PATHS, help="one path; may be repeated")
    parser.add_argument("--save", type=Path, help="write the figures to this file, as JSON")
    parser.add_argument("--compare", type=Path, help="show the ratios of an earlier run beside these")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    earlier = json.loads(options.compare.read_text()) if options.compare else {}
    console = Console(soft_wrap=True)
    with stores() as opened:
        console.print(machine(opened))
        found = [*measure(opened, options.only or PATHS, full=options.full, console=console)]
    console.print(table(found, earlier))
    if options.save:
        options.save.write_text(
            json.dumps({each.path: asdict(each) | {"ratio": each.ratio} for each in found}, indent=1)
        )


def machine(opened: Stores) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in opened.settings().items())
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL: {settings}"


def measure(opened: Stores, paths: Sequence[str], *, full: bool, console: Console) -> list[Comparison]:
    found = []
    for path in paths:
        for comparison in importlib.import_module(f"paths.{path}").measure(opened, full=full):
            console.print(f"{comparison.path}: {comparison.ratio:.2f}", highlight=False)
            found.append(comparison)
    return found


def table(found: Sequence[Comparison], earlier: dict[str, Any]) -> Table:
    """Returns the figures as Markdown-like rows."""
    made = Table("path", "ours", "floor", "others", "ratio", "goal", "", *(["earlier"] if earlier else []))
    for each in found:
        others = [
            f"{name} {shown(value, each.unit)}" for name, value in each.figures.items() if name not in ("ours", "floor")
        ]
        goal = "" if each.goal is None else f"{'≥' if each.higher_is_better else '≤'} {each.goal}"
        verdict = {True: "met", False: "missed", None: ""}[each.met]
        before = [f"{earlier[each.path]['ratio']:.2f}" if each.path in earlier else ""] if earlier else []
        made.add_row(
            each.path, shown(each.figures["ours"], each.unit), shown(each.figures["floor"], each.unit),
            "; ".join([*others, *each.notes]), f"{each.ratio:.2f}", goal, verdict, *before,
        )  # fmt: skip
    return made


def shown(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:,.0f} {unit}"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e9:.3g} ns"


if __name__ == "__main__":
    main()
