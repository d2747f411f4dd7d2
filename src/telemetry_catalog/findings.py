"""Compares the code with the catalogue, in both directions."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path

from telemetry import Catalog, CatalogEntry
from telemetry_catalog.calls import SKIP_MARK, CodeReading
from telemetry_catalog.helpers import helper_name


class FindingKind(Enum):
    """The kind of a finding."""

    UNKNOWN = "unknown"
    """The code records an event that is not in the catalogue."""
    UNREADABLE = "unreadable"
    """The code records an event whose names cannot be determined."""
    DEPRECATED = "deprecated"
    """The code records a deprecated event."""
    STALE = "stale"
    """The catalogue contains an event that the code does not record."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mismatch between code and catalogue.

    Attributes:
        kind: Kind of the mismatch.
        place: `FILE:LINE` of the code, or the line of the catalogue, for messages.
        problem: What is wrong, and what to do.
    """

    kind: FindingKind
    place: str
    problem: str

    @property
    def fails(self) -> bool:
        """Whether the check fails; a deprecated event is only a warning."""
        return self.kind is not FindingKind.DEPRECATED


def compare(catalog: Catalog, code: CodeReading) -> list[Finding]:
    """Return the mismatches between catalogue and code: first those in the code, then those in the catalogue."""
    return [*_of_code(catalog, code), *_stale(catalog, code)]


def _of_code(catalog: Catalog, code: CodeReading) -> Iterator[Finding]:
    for call in code.calls:
        entry = catalog.find(call.feature, call.action)
        place = _place(call.file, call.line)
        if entry is None:
            problem = (
                f"{call.feature}, {call.action} is not in the catalogue{_similar(catalog, call.feature, call.action)}"
            )
            yield Finding(FindingKind.UNKNOWN, place, problem)
        elif entry.deprecated is not None:
            yield Finding(FindingKind.DEPRECATED, place, f"{entry.name} is deprecated: {entry.deprecated}")
    for unreadable in code.unreadable:
        problem = f"feature and action cannot be determined; make them constants, or end the line with {SKIP_MARK}"
        yield Finding(FindingKind.UNREADABLE, _place(unreadable.file, unreadable.line), problem)


def _stale(catalog: Catalog, code: CodeReading) -> Iterator[Finding]:
    recorded = {(call.feature, call.action) for call in code.calls}
    for entry in catalog.entries:
        if entry.recorded_by is None and not _is_recorded(entry, recorded, code):
            problem = f"{entry.name} is not recorded in this code; remove it here, or set recorded_by"
            yield Finding(FindingKind.STALE, entry.origin, problem)


def _is_recorded(entry: CatalogEntry, recorded: set[tuple[str, str]], code: CodeReading) -> bool:
    return (entry.feature, entry.action) in recorded or helper_name(entry) in code.used_names


def _similar(catalog: Catalog, feature: str, action: str) -> str:
    names = [entry.name for entry in catalog.entries]
    close = get_close_matches(f"{feature}, {action}", names, n=1, cutoff=0.8)
    return f"; similar: {close[0]}" if close else ""


def _place(file: Path, line: int) -> str:
    return f"{os.path.relpath(file)}:{line}"
