"""Evaluates constant strings in Python code without running it."""

import ast
from collections.abc import Sequence
from itertools import product
from pathlib import Path, PurePath
from typing import TypeAlias

Texts: TypeAlias = frozenset[str]
"""All possible values of a string expression."""

_MOST_TEXTS = 64


class Module:
    """A Python file and its constants.

    Args:
        path: Path of the file.
        source: Its source code.

    Raises:
        SyntaxError: The source is not valid Python.
        ValueError: The source contains NUL.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self.source = source
        self.tree = ast.parse(source)
        self._assigned: dict[str, list[ast.expr]] = {}
        self._imported: dict[str, tuple[PurePath, str]] = {}
        for statement in self.tree.body:
            self._take(statement, "")

    def _take(self, statement: ast.stmt, prefix: str) -> None:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                self._assign(target, statement.value, prefix)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            self._assign(statement.target, statement.value, prefix)
        elif isinstance(statement, ast.ClassDef) and not prefix:
            for inner in statement.body:
                self._take(inner, f"{statement.name}.")
        elif isinstance(statement, ast.ImportFrom):
            module = PurePath(*(statement.module or "").split("."))
            # A relative import is resolved from the file's folder, an absolute one by the end of the path.
            base = PurePath(*self.path.parent.parts[: len(self.path.parent.parts) - statement.level + 1])
            for name in statement.names:
                self._imported[name.asname or name.name] = (base / module if statement.level else module, name.name)

    def _assign(self, target: ast.expr, value: ast.expr, prefix: str) -> None:
        if isinstance(target, ast.Name):
            self._assigned.setdefault(prefix + target.id, []).append(value)

    def constant(self, name: str) -> ast.expr | None:
        """Return the expression that a name is assigned; None unless it is assigned exactly once."""
        values = self._assigned.get(name, [])
        return values[0] if len(values) == 1 else None

    def imported(self, name: str) -> tuple[PurePath, str] | None:
        """Return the module that a name is imported from, as a path without suffix, and its name there."""
        return self._imported.get(name)


class Constants:
    """Evaluates string expressions across modules.

    Args:
        modules: All modules, to resolve imports.
    """

    def __init__(self, modules: Sequence[Module]) -> None:
        self._modules = modules

    def texts(self, expression: ast.expr, module: Module, *, depth: int = 8) -> Texts | None:
        """Return all possible values of `expression`; None if they are unknown."""
        if depth == 0:  # circular constants
            return None
        deeper = depth - 1
        match expression:
            case ast.Constant(value=str(text)):
                found: Texts | None = frozenset({text})
            case ast.JoinedStr(values=parts):
                found = self._joined(parts, module, deeper)
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                found = self.texts(value, module, depth=deeper)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = self._joined([left, right], module, deeper)
            case ast.IfExp(body=one, orelse=other):
                found = self._either(one, other, module, deeper)
            case ast.Name(id=name):
                found = self._named(name, module, deeper)
            case ast.Attribute(value=ast.Name(id=holder), attr=name):
                found = self._attribute(holder, name, module, deeper)
            case _:
                found = None
        return found

    def _either(self, one: ast.expr, other: ast.expr, module: Module, depth: int) -> Texts | None:
        first, second = (self.texts(each, module, depth=depth) for each in (one, other))
        return None if first is None or second is None else first | second

    def _joined(self, parts: list[ast.expr], module: Module, depth: int) -> Texts | None:
        choices: list[Texts] = []
        count = 1
        for part in parts:
            texts = self.texts(part, module, depth=depth)
            if texts is None or (count := count * len(texts)) > _MOST_TEXTS:
                return None
            choices.append(texts)
        return frozenset("".join(chosen) for chosen in product(*choices))

    def _named(self, name: str, module: Module, depth: int) -> Texts | None:
        value = module.constant(name)
        if value is not None:
            return self.texts(value, module, depth=depth)
        source = module.imported(name)
        other = None if source is None else self._find(source[0])
        if source is None or other is None or depth == 0:
            return None
        return self._named(source[1], other, depth - 1)

    def _attribute(self, holder: str, name: str, module: Module, depth: int) -> Texts | None:
        value = module.constant(f"{holder}.{name}")  # a class of this module
        source = module.imported(holder)
        if value is None and source is not None:
            if (inside := self._find(source[0] / source[1])) is not None:  # from package import module
                return self._named(name, inside, depth)
            if (other := self._find(source[0])) is not None:  # from module import Class
                module, value = other, other.constant(f"{source[1]}.{name}")
        return None if value is None else self.texts(value, module, depth=depth)

    def _find(self, module: PurePath) -> Module | None:
        """Return the module whose path ends like this; None if there is not exactly one."""
        if not module.parts:
            return None
        ends = (module.with_name(f"{module.name}.py").parts, (module / "__init__.py").parts)
        found = [each for each in self._modules if any(each.path.parts[-len(end) :] == end for end in ends)]
        return found[0] if len(found) == 1 else None
