"""Report lines of Markdown pages that are too long to read as source or in a diff.

`python tools/check_docs_width.py [PATH ...]` prints `file:line: N characters` for each line over 130 characters, and
for each cell of a table over 240 characters, which holds a paragraph. It exits with 1 if there are any. Without a path
it reads README.md, CHANGELOG.md, CONTRIBUTING.md and docs. Fenced code is not measured, and rows of tables only by
their cells.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs")
LONGEST_LINE: Final = 130
LONGEST_CELL: Final = 240


def check_pages(paths: Iterable[Path]) -> list[str]:
    """Return the report for these pages, and for the pages in these folders."""
    pages = [page for path in paths for page in (sorted(path.rglob("*.md")) if path.is_dir() else [path])]
    return [problem for page in pages for problem in check_page(page)]


def check_page(path: Path) -> list[str]:
    """Return a message for each line or cell that is too long."""
    return [f"{_shown(path)}:{number}: {problem}" for number, problem in _problems(path.read_text(encoding="utf-8"))]


def _problems(text: str) -> Iterator[tuple[int, str]]:
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and not fence:
            fence = mark.group(1)
        elif mark and mark.group(1) == fence:
            fence = ""
        elif fence:
            continue
        elif line.lstrip().startswith("|"):
            longest = max(len(cell.strip()) for cell in re.split(r"(?<!\\)\|", line))
            if longest > LONGEST_CELL:
                yield number, f"a table cell of {longest} characters; at most {LONGEST_CELL}"
        elif len(line) > LONGEST_LINE:
            yield number, f"{len(line)} characters; at most {LONGEST_LINE}"


def _shown(path: Path) -> Path:
    return path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path


def main(arguments: list[str]) -> int:
    """Print the messages; return the exit status."""
    parser = argparse.ArgumentParser(description="Report lines of Markdown pages that are too long.")
    parser.add_argument("paths", nargs="*", type=Path, help="pages and folders; all pages if none is given")
    paths = parser.parse_args(arguments).paths or [ROOT / each for each in PAGES]
    missing = [path for path in paths if not path.exists()]
    if missing:
        parser.error(f"no such file or folder: {missing[0]}")
    problems = check_pages(paths)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
