"""Finds the calls that record events in Python code, without running it."""

import ast
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from telemetry.names import is_valid_name
from telemetry_catalog.constants import Constants, Module
from telemetry_catalog.errors import UnreadableCodeError
from telemetry_catalog.helpers import is_generated

SKIP_MARK: Final = "# catalog: skip"
"""Comment on the line of a call that the check should ignore, for example because its names are dynamic."""


@dataclass(frozen=True, slots=True, order=True)
class RecordingCall:
    """A call that records an event.

    Attributes:
        file: The file of the call.
        line: The line, from 1.
        feature: The event's feature.
        action: The event's action.
    """

    file: Path
    line: int
    feature: str
    action: str


@dataclass(frozen=True, slots=True, order=True)
class UnreadableCall:
    """A call that records an event whose names cannot be determined.

    Attributes:
        file: The file of the call.
        line: The line, from 1.
    """

    file: Path
    line: int


@dataclass(frozen=True, slots=True)
class CodeReading:
    """The recording calls of Python code.

    Attributes:
        calls: The calls, ordered by file and line.
        unreadable: Calls whose names cannot be determined.
        used_names: All names that the code uses, to find out which generated helpers it calls.
    """

    calls: tuple[RecordingCall, ...]
    unreadable: tuple[UnreadableCall, ...]
    used_names: frozenset[str]


def read_code(places: Iterable[Path]) -> CodeReading:
    """Find the recording calls in Python files and folders.

    A call records an event if it constructs a `NewEvent`, or calls a method `record` with two valid event names. If the
    names cannot be determined, the call counts if the name of its receiver contains "recorder". The bodies of generated
    helpers do not count as calls.

    Raises:
        UnreadableCodeError: A file or folder is missing, or a file is not valid Python.
    """
    modules = [_read_module(path) for path in sorted(set(_python_files(places)))]
    constants = Constants(modules)
    calls: set[RecordingCall] = set()
    unreadable: set[UnreadableCall] = set()
    used: set[str] = set()
    for module in modules:
        if is_generated(module.source):
            continue
        lines = module.source.splitlines()
        for node in ast.walk(module.tree):
            used.update(_names_used(node))
            if isinstance(node, ast.Call) and not _is_skipped(node, lines):
                found = _read_call(node, module, constants)
                if found is None:
                    continue
                if not found:
                    unreadable.add(UnreadableCall(module.path, node.lineno))
                calls.update(RecordingCall(module.path, node.lineno, *names) for names in found)
    return CodeReading(tuple(sorted(calls)), tuple(sorted(unreadable)), frozenset(used))


def _python_files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            below = (path for path in place.rglob("*.py") if not _is_hidden(path.relative_to(place)))
            yield from (path.resolve() for path in below)
        elif place.is_file():
            yield place.resolve()
        else:
            raise UnreadableCodeError(str(place), "there is no such file or folder")


def _is_hidden(path: Path) -> bool:
    """Return whether a path is in a folder that does not contain the project's own code, such as `.venv`."""
    return any(part.startswith(".") or part in ("node_modules", "site-packages", "__pycache__") for part in path.parts)


def _read_module(path: Path) -> Module:
    try:
        # Decode it as Python does, by the encoding that its first lines declare.
        with tokenize.open(path) as file:
            return Module(path, file.read())
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deeply
        line = getattr(error, "lineno", None)
        problem = "is not valid code for this Python version" + (f", line {line}" if line else "")
    raise UnreadableCodeError(str(path), problem)


def _is_skipped(call: ast.Call, lines: Sequence[str]) -> bool:
    return any(SKIP_MARK in lines[number - 1] for number in (call.lineno, call.end_lineno or call.lineno))


def _names_used(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.ImportFrom):
        yield from (name.name for name in node.names if name.asname)


def _read_call(call: ast.Call, module: Module, constants: Constants) -> list[tuple[str, str]] | None:
    """Return the events that a call may record; empty if they are unknown; None if it does not record events."""
    match call.func:
        case ast.Attribute(value=receiver, attr="record"):
            records = _is_recorder(receiver)
        case ast.Name(id="NewEvent") | ast.Attribute(attr="NewEvent"):
            records = True
        case _:
            return None
    feature, action = _argument(call, 0, "feature"), _argument(call, 1, "action")
    if feature is None or action is None:
        return None
    features, actions = constants.texts(feature, module), constants.texts(action, module)
    if features is None or actions is None:
        return [] if records else None
    named = list(product(sorted(features), sorted(actions)))
    return named if records or all(is_valid_name(name) for names in named for name in names) else None


def _argument(call: ast.Call, position: int, word: str) -> ast.expr | None:
    if any(isinstance(each, ast.Starred) for each in call.args[: position + 1]):
        return None
    if position < len(call.args):
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == word), None)


def _is_recorder(receiver: ast.expr) -> bool:
    while isinstance(receiver, ast.Await | ast.Call):
        receiver = receiver.value if isinstance(receiver, ast.Await) else receiver.func
    name = (
        receiver.attr if isinstance(receiver, ast.Attribute) else receiver.id if isinstance(receiver, ast.Name) else ""
    )
    return "recorder" in name.lower()
