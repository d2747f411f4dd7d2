"""Routes of event collection packages: `/packages/{language}/{version}`.

A segment is literal text, `{name}` (a variable), or `{}` (matched, but not stored). The latter two match one non-empty
segment.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

_LITERAL = re.compile(r"[A-Za-z0-9@._~!$'()*+,;=:&-]+")
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)?\}")


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a route.

    Attributes:
        text: The literal, or the variable's name; empty for `{}`.
        literal: Whether the text is literal.
    """

    text: str
    literal: bool


@dataclass(frozen=True, slots=True)
class Route:
    """The paths that a package matches.

    Attributes:
        text: The route as written in the file.
        segments: Its segments.
    """

    text: str
    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, text: str) -> "Route":
        """Parse a route.

        Raises:
            ValueError: The route is invalid; says why.
        """
        if not text.startswith("/"):
            raise ValueError("must begin with /")
        segments = tuple(_segment(part) for part in split_path(text))
        names = [segment.text for segment in segments if not segment.literal and segment.text]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"contains {{{twice}}} twice")
        return cls(text, segments)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of its variables, in order."""
        return tuple(segment.text for segment in self.segments if not segment.literal and segment.text)

    def overlaps(self, other: "Route") -> bool:
        """Return whether some path matches both routes."""
        return len(self.segments) == len(other.segments) and all(
            mine.text == theirs.text or not (mine.literal and theirs.literal)
            for mine, theirs in zip(self.segments, other.segments, strict=True)
        )


def _segment(part: str) -> Segment:
    if variable := _VARIABLE.fullmatch(part):
        return Segment(variable.group(1) or "", literal=False)
    if part in (".", "..") or _LITERAL.fullmatch(part) is None:
        raise ValueError("has a segment that is neither plain text without %-escapes nor a variable such as {version}")
    return Segment(part, literal=True)


def split_path(path: str) -> list[str]:
    """Return the segments of a path that begins with `/`; a trailing `/` is ignored."""
    return [] if path == "/" else path[1:].removesuffix("/").split("/")


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, "_Node[T]"] = field(default_factory=dict)
    variable: "_Node[T] | None" = None
    here: tuple[Route, T] | None = None


class RouteTable(Generic[T]):
    """Finds the route of a path. Routes must not overlap, so their order does not matter.

    Args:
        routes: The routes, each with its value.
    """

    def __init__(self, routes: Sequence[tuple[Route, T]]) -> None:
        self._root: _Node[T] = _Node()
        for route, value in routes:
            node = self._root
            for segment in route.segments:
                if segment.literal:
                    node = node.literals.setdefault(segment.text, _Node())
                else:
                    node.variable = node.variable or _Node()
                    node = node.variable
            node.here = (route, value)

    def match(self, path: str) -> tuple[T, dict[str, str]] | None:
        """Return the value of the route that a path matches, and the route's variables; None without a match.

        Args:
            path: The path as received, %-encoded, without query.
        """
        # Split before decoding: an encoded slash is part of a value.
        parts = [unquote(part) for part in split_path(path)]
        found = _find(self._root, parts, 0)
        if found is None:
            return None
        route, value = found
        named = zip(route.segments, parts, strict=True)
        return value, {segment.text: part for segment, part in named if not segment.literal and segment.text}


def _find(node: _Node[T], parts: Sequence[str], position: int) -> tuple[Route, T] | None:
    if position == len(parts):
        return node.here
    part = parts[position]
    if part in node.literals and (found := _find(node.literals[part], parts, position + 1)):
        return found
    if node.variable is not None and part:
        return _find(node.variable, parts, position + 1)
    return None
