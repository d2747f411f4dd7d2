"""Report phrases in code and docs that are unclear, or that readers would not search for.

`python tools/check_english.py [PATH ...]` prints `file:line: phrase` for each, and exits with 1 if there are any.
Without a path it reads the whole project. The part of a file that is read depends on its kind:

- Python: docstrings, comments, names of functions, and messages (strings of several words);
- Markdown: everything except fenced blocks;
- other files: comments that begin with `#` or `//`, and the whole of HTML templates.

Text in backticks is code and is not read.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
EVERYWHERE: Final = (
    "src", "docs", "examples", "tools", "tests", "benchmarks", "deploy", "proto",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", ".ci/run",
)  # fmt: skip
# This file and its test contain the phrases; the others are generated, or written by a release or another project.
SKIPPED: Final = ("tools/check_english.py", "tests/unit/tools/test_check_english.py", "src/telemetry/v1", "tests/npm",
                  "tests/upgrade/0.1.0", "docs/performance")  # fmt: skip
COMMENTED: Final = {".toml", ".yml", ".yaml", ".sh", ".proto", ".ini", ".cfg", ".c", ""}

_DENIED: Final = {
    r"tell|tells|told|telling": "log, notify, report or say",
    r"for ever": "forever",
    r"but for": "except",
    r"in place of": "instead of",
    r"anew": "again",
    r"once more": "again",
    r"stands? in": "is in, or replaces",
    r"go(?:es)? by": "uses, or depends on",
    r"of its own": "its own, separate or by itself",
    r"so few that": "too few to",
    r"whoever": "name the thing",
    r"somebody": "name the thing",
    r"nobody": "name the thing",
    # "There is no file" is plain English; "a file that is no TOML" is not.
    r"(?<!there )(?:is|are) no(?! longer\b)(?= [a-z`])": "is not a, or is not valid",
    # "none" is also a value: of the export mode.
    r"(?<!MODE )(?:is|are) (?-i:none)": "is missing, or is not valid",
}
_PATTERNS: Final = tuple(
    (
        re.compile(rf"\b(?:{phrase})\b".replace(" ", r"\s+").replace(r"\s+)(?:is", r"\s)(?:is"), re.IGNORECASE),
        hint,
    )
    for phrase, hint in _DENIED.items()
)
_CODE: Final = re.compile(r"``.*?``|`[^`\n]*`", re.DOTALL)
_TEMPLATE_CODE: Final = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_FENCED: Final = re.compile(r"^( *)(```+|~~~+).*?^ *\2", re.MULTILINE | re.DOTALL)


class Passage(NamedTuple):
    """A text in a file, and its first line's number."""

    line: int
    text: str


class Finding(NamedTuple):
    """A denied phrase in a file."""

    path: Path
    line: int
    phrase: str
    better: str


def check_files(paths: Iterable[Path]) -> list[Finding]:
    """Return the denied phrases in these files, and in the files of these folders."""
    return [finding for path in paths for file in _files(path) for finding in check_file(file)]


def check_file(path: Path) -> list[Finding]:
    """Return the denied phrases in one file, by line."""
    found = {
        Finding(path, passage.line + text.count("\n", 0, match.start()), " ".join(match.group().split()), better)
        for passage in _passages(path)
        for text in [_CODE.sub(_blank, passage.text)]
        for pattern, better in _PATTERNS
        for match in pattern.finditer(text)
    }
    return sorted(found)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        if not _is_skipped(path):
            yield path
        return
    for file in sorted(path.rglob("*")):
        skipped = any(part in {"__pycache__", "node_modules"} or part.startswith(".") for part in file.parts[1:])
        if file.is_file() and not skipped and not _is_skipped(file):
            yield file


def _is_skipped(file: Path) -> bool:
    return any(file.resolve().is_relative_to(ROOT / skipped) for skipped in SKIPPED)


def _passages(path: Path) -> Iterator[Passage]:
    match path.suffix:
        case ".py":
            yield from _of_python(path.read_text(encoding="utf-8"))
        case ".md":
            yield Passage(1, _FENCED.sub(_blank, path.read_text(encoding="utf-8")))
        case ".html":
            yield Passage(1, _TEMPLATE_CODE.sub(_blank, path.read_text(encoding="utf-8")))
        case suffix if suffix in COMMENTED:
            yield from _of_comments(path)


def _of_python(code: str) -> Iterator[Passage]:
    yield from _joined(
        Passage(token.start[0], token.string.lstrip("#"))
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    )
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield Passage(node.lineno, name.replace("_", " "))
            case ast.Constant(value=str(text)) if text.count(" ") > 1:
                yield Passage(node.lineno, text)
            case ast.JoinedStr(values=parts):
                # Replace each placeholder with one word, which may be the noun of a phrase.
                yield Passage(
                    node.lineno, "".join(str(each.value) if isinstance(each, ast.Constant) else "x" for each in parts)
                )


def _of_comments(path: Path) -> Iterator[Passage]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return  # not text
    comments = (re.search(r"(?:^|\s)(?:#|//)(.*)", line) for line in lines)
    yield from _joined(Passage(number, found.group(1)) for number, found in enumerate(comments, 1) if found)


def _joined(comments: Iterable[Passage]) -> Iterator[Passage]:
    """Yield comments, joining those on consecutive lines, because a phrase may be split between lines."""
    first, lines = 0, list[str]()
    for line, text in comments:
        if lines and line != first + len(lines):
            yield Passage(first, "\n".join(lines))
            lines = []
        if not lines:
            first = line
        lines.append(text)
    if lines:
        yield Passage(first, "\n".join(lines))


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", "`", match.group())


def main(arguments: list[str]) -> int:
    """Print the findings; return the exit status."""
    parser = argparse.ArgumentParser(description="Report phrases on the project's deny list.")
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; all of the project if none is given")
    paths = parser.parse_args(arguments).paths or [ROOT / each for each in EVERYWHERE]
    missing = [path for path in paths if not path.exists()]
    if missing:
        parser.error(f"no such file or folder: {missing[0]}")
    findings = check_files(paths)
    for path, line, phrase, better in findings:
        shown = path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path
        print(f"{shown}:{line}: {phrase} (better: {better})")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
