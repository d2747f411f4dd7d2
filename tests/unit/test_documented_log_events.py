"""The page about logs lists exactly the events that the source logs, with logger, levels and keys."""

import ast
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from export import PassReport

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PAGE = ROOT / "docs" / "reference" / "logs.md"
LEVELS = {"info", "warning", "error"}
_NOW = datetime.now(UTC)
EXPANDED = {"facts": set(PassReport(request_id="r", started_at=_NOW, last_at=_NOW).facts())}
"""The keys that a call with `**name` adds, by that name."""
NAMED_LATER = {"kind": ("RecordEvents", "RecordEvent")}
"""The events of a call whose first argument is a variable, by its name."""
NOT_OURS = SOURCE / "telemetry_cli" / "serving.py"
"""The module that forwards uvicorn's log lines."""
RESERVED = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "event", "level"}


class LogCall(NamedTuple):
    place: str
    logger: str
    event: str
    level: str
    keys: frozenset[str]


def logger_of(tree: ast.Module, module: str) -> str | None:
    for node in tree.body:
        match node:
            case ast.Assign(value=ast.Call(func=ast.Name("get_logger"), args=[name])):
                return str(name.value) if isinstance(name, ast.Constant) else module
            case ast.AnnAssign(value=ast.Call(func=ast.Name("get_logger"), args=[name])):
                return str(name.value) if isinstance(name, ast.Constant) else module
    return None


def calls_in(file: Path) -> Iterator[LogCall]:
    tree = ast.parse(file.read_text())
    module = ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    logger = logger_of(tree, module)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(ast.Name("_log"), level), args=[ast.Constant(str(event))]):
                events: tuple[str, ...] = (event,)
            case ast.Call(func=ast.Attribute(ast.Name("_log"), level), args=[ast.Name(name)]):
                events = NAMED_LATER[name]
            case ast.Call(func=ast.Attribute(ast.Name("_log"), "log")) if file == NOT_OURS:
                continue
            case ast.Call(func=ast.Attribute(ast.Name("_log"), level)):
                raise AssertionError(f"{file}:{node.lineno}: the event is not a string")
            case _:
                continue
        assert logger is not None, f"{file}: `_log` is not made by `get_logger`"
        assert level in LEVELS, f"{file}:{node.lineno}"
        keys: set[str] = set()
        for keyword in node.keywords:
            match keyword:
                case ast.keyword(arg=None, value=ast.Name(name)):
                    keys |= EXPANDED[name]
                case ast.keyword(arg=str(key)):
                    keys.add(key)
        for event in events:
            yield LogCall(f"{file.relative_to(ROOT)}:{node.lineno}", logger, event, level, frozenset(keys))


@pytest.fixture(scope="module")
def calls() -> list[LogCall]:
    return [call for file in sorted(SOURCE.rglob("*.py")) for call in calls_in(file)]


def documented() -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Yield logger, event, level and keys of each row, once for each level."""
    logger = ""
    for line in PAGE.read_text().splitlines():
        if heading := re.fullmatch(r"### `([\w.]+)`", line):
            logger = heading[1]
        elif row := re.fullmatch(r"\| `([^`]+)` \| ([\w, ]+) \| ([^|]+) \| [^|]+ \|", line):
            for level in row[2].split(", "):
                yield logger, row[1], level, frozenset(re.findall(r"`(\w+)`", row[3]))


def test_the_page_lists_what_the_source_logs(calls: list[LogCall]) -> None:
    assert len(calls) > 30
    logged = {(call.logger, call.event, call.level, call.keys): call.place for call in calls}
    listed = set(documented())
    assert {key: place for key, place in logged.items() if key not in listed} == {}
    assert listed - set(logged) == set()


def test_no_key_has_to_be_renamed(calls: list[LogCall]) -> None:
    assert [(call.place, sorted(call.keys & RESERVED)) for call in calls if call.keys & RESERVED] == []


def test_each_logger_is_below_the_one_of_its_package(calls: list[LogCall]) -> None:
    # A host may have disabled the package's logger. The loggers below it are created with their first line.
    for call in calls:
        package = Path(call.place).parts[1]
        assert call.logger.startswith(f"{package}."), call.place


LINE = """
from telemetry.logger import get_logger
get_logger("recorder.best_effort").error("event not recorded", feature="search.results", parameters_version=1)
"""


@pytest.mark.parametrize("section", ["JSON lines", "A service with structlog"])
def test_an_example_of_the_page_writes_one_line_of_json(section: str) -> None:
    text = PAGE.read_text().partition(f"## {section}\n")[2]
    match = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert match is not None
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", match[1] + LINE], capture_output=True, text=True, timeout=120, check=True
    )
    line = json.loads(done.stderr)
    assert done.stdout == ""
    assert line["logger"] == "recorder.best_effort"
    assert line["level"].lower() == "error"
    assert (line["event"], line["feature"], line["parameters_version"]) == ("event not recorded", "search.results", 1)
