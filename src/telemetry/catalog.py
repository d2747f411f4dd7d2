"""The event catalogue: all events, with their owners and the meaning of their parameters.

A reviewed TOML file with one `[[event]]` table per event:

    [[event]]
    feature = "search.results"
    action = "submit"
    owner = "search team"
    description = "A person submitted a search."
    version = 2                                    # of the parameters; default: 0
    metadata.durationMs = "Milliseconds until the first result."
    metadata.results = { meaning = "Number of results.", kind = "count", required = false }
    private_metadata.query = "What was typed."     # or "*" for any key, with the reason
    recorded_by = "web"                            # if another program than this code records it
    deprecated = "Use search.run instead."         # if it is deprecated
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from telemetry.errors import (
    InvalidCatalogError,
    InvalidMetadataError,
    InvalidPrivateMetadataError,
    UnknownEventError,
)
from telemetry.parameters import MAX_METADATA_KEY_LENGTH, metadata_field
from telemetry.reviewed_file import ReviewedTable, read_tables
from telemetry.text import text_problem
from telemetry.v1 import telemetrygateway_pb2 as pb

ANY_KEY: Final = "*"
"""As a key of `private_metadata`: any key is allowed."""

_FIELDS = frozenset(
    {
        "feature",
        "action",
        "owner",
        "description",
        "version",
        "metadata",
        "private_metadata",
        "recorded_by",
        "deprecated",
    }
)
_REQUIRED = ("feature", "action", "owner", "description")
_KEY_FIELDS = frozenset({"meaning", "kind", "required"})
_INT32_MAX = 2**31 - 1


class MetadataKind(enum.Enum):
    """The kind of a number in `metadata`."""

    NUMBER = "number"
    """Any finite number."""
    COUNT = "count"
    """A non-negative integer."""
    FLAG = "flag"
    """A boolean: 1 or 0."""

    def admits(self, value: float) -> bool:
        """Return whether `value` is of this kind."""
        if self is MetadataKind.COUNT:
            return value >= 0 and value.is_integer()
        return self is MetadataKind.NUMBER or value in (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class MetadataKey:
    """A key of `metadata` in the catalogue.

    Attributes:
        meaning: The meaning of the number, with its unit.
        kind: The kind of number.
        required: Whether every event of the type must have it.
    """

    meaning: str
    kind: MetadataKind = MetadataKind.NUMBER
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """An event type.

    Attributes:
        feature: The feature.
        action: The action.
        owner: The team or person responsible for it.
        description: What the event means.
        version: The version of its parameters, maintained by its owner.
        metadata: The allowed keys of `metadata`.
        private_metadata: The allowed keys of `private_metadata`, each with its meaning.
        recorded_by: The other program that records it; None if the code next to the catalogue does.
        deprecated: What to use instead; None if it is not deprecated.
        origin: File and line of the entry, for messages.
    """

    feature: str
    action: str
    owner: str
    description: str
    version: int = 0
    metadata: Mapping[str, MetadataKey] = field(default_factory=dict)
    private_metadata: Mapping[str, str] = field(default_factory=dict)
    recorded_by: str | None = None
    deprecated: str | None = None
    origin: str = "catalogue"

    @property
    def name(self) -> str:
        """The event's type, for messages."""
        return f"{self.feature}, {self.action}"


class Catalog:
    """The entries of the catalogue, by event type.

    Args:
        entries: At most one entry per feature and action.

    Raises:
        InvalidCatalogError: Two entries are for the same event type.
    """

    def __init__(self, entries: Iterable[CatalogEntry]) -> None:
        self.entries = tuple(entries)
        self._by_type: dict[tuple[str, str], CatalogEntry] = {}
        for entry in self.entries:
            if first := self._by_type.get((entry.feature, entry.action)):
                raise InvalidCatalogError(entry.origin, f"duplicates the entry at {first.origin}: {entry.name}")
            self._by_type[entry.feature, entry.action] = entry

    def find(self, feature: str, action: str) -> CatalogEntry | None:
        """Return the entry of an event type; None if it is unknown."""
        return self._by_type.get((feature, action))

    def check(self, event: pb.Event) -> None:
        """Check an event against the catalogue.

        Raises:
            UnknownEventError: Its type is not in the catalogue.
            InvalidMetadataError: A key is unknown or missing, or a number is of the wrong kind.
            InvalidPrivateMetadataError: A private key is unknown.
        """
        entry = self.find(event.feature, event.action)
        if entry is None:
            raise UnknownEventError("event", f"{event.feature}, {event.action} is not in the catalogue")
        _check_metadata(entry, event.parameters.metadata)
        if event.parameters.HasField("private_metadata") and ANY_KEY not in entry.private_metadata:
            for position, key in enumerate(event.parameters.private_metadata.fields, start=1):
                if key not in entry.private_metadata:
                    # SECURITY: named by position, because private keys may be private data themselves.
                    raise InvalidPrivateMetadataError(
                        f"private_metadata, item {position}", f"its key is not in the catalogue ({entry.origin})"
                    )

    def __len__(self) -> int:
        return len(self.entries)


def _check_metadata(entry: CatalogEntry, metadata: Mapping[str, float]) -> None:
    for position, (key, value) in enumerate(metadata.items()):
        known = entry.metadata.get(key)
        if known is None:
            raise InvalidMetadataError(metadata_field(position, key), f"is not in the catalogue ({entry.origin})")
        if not known.kind.admits(value):
            raise InvalidMetadataError(
                metadata_field(position, key),
                f"must be a {known.kind.value} as in the catalogue ({entry.origin})",
            )
    for key, known in entry.metadata.items():
        if known.required and key not in metadata:
            raise InvalidMetadataError("metadata", f"is missing {key!r}, which the catalogue requires ({entry.origin})")


def parse_catalog(text: str, origin: str = "catalogue") -> Catalog:
    """Parse a catalogue file.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.

    Raises:
        InvalidCatalogError: The text is not valid TOML, or an entry is invalid; names the line.
    """
    return Catalog(_parse_entry(table) for table in read_tables(text, origin, "event", InvalidCatalogError))


def _parse_entry(table: ReviewedTable) -> CatalogEntry:
    table.check_fields(_FIELDS, _REQUIRED)
    fields = table.fields
    version = fields.get("version", 0)
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version <= _INT32_MAX:
        raise table.fault("version", "version must be a non-negative integer")
    return CatalogEntry(
        feature=table.name("feature"),
        action=table.name("action"),
        owner=table.text("owner", "the team or person responsible for this event"),
        description=table.text("description", "what the event means"),
        version=version,
        metadata={key: _parse_key(table, key, value) for key, value in _keys(table, "metadata")},
        private_metadata={
            key: _parse_private_key(table, key, value) for key, value in _keys(table, "private_metadata")
        },
        recorded_by=table.text("recorded_by", "the other program that records it") if "recorded_by" in fields else None,
        deprecated=table.text("deprecated", "what to use instead") if "deprecated" in fields else None,
        origin=table.origin,
    )


def _keys(table: ReviewedTable, name: str) -> Iterable[tuple[str, object]]:
    keys = table.fields.get(name, {})
    if not isinstance(keys, dict):
        raise table.fault(name, f'{name} must be a table of keys, each with its meaning: {name}.key = "what it means"')
    for key in keys:
        if not key or len(key) > MAX_METADATA_KEY_LENGTH or text_problem(key):
            raise table.fault(name, f"{name} contains a key that cannot be recorded")
    return keys.items()


def _parse_key(table: ReviewedTable, key: str, value: object) -> MetadataKey:
    given = {"meaning": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or set(given) - _KEY_FIELDS:
        raise _key_fault(table, "metadata", key, "must be its meaning, or have meaning, kind and required")
    meaning, kind, required = given.get("meaning"), given.get("kind", "number"), given.get("required", True)
    if not isinstance(meaning, str) or not meaning.strip():
        raise _key_fault(table, "metadata", key, "has no meaning")
    if kind not in [each.value for each in MetadataKind]:
        raise _key_fault(
            table, "metadata", key, f"kind must be one of {', '.join(each.value for each in MetadataKind)}"
        )
    if not isinstance(required, bool):
        raise _key_fault(table, "metadata", key, "required must be true or false")
    return MetadataKey(meaning.strip(), MetadataKind(kind), required)


def _parse_private_key(table: ReviewedTable, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _key_fault(table, "private_metadata", key, "has no meaning")
    return value.strip()


def _key_fault(table: ReviewedTable, name: str, key: str, problem: str) -> Exception:
    return table.fault(f"{name}.{key}", f"{name}, key {key!r}: {problem}", within=name)
