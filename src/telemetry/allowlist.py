"""The reviewed allowlist: the private metadata that may be exported, by event.

A TOML file with one `[[event]]` table per entry:

    [[event]]
    feature = "search.results"
    action = "submit"                     # optional; default: all actions of the feature
    keys = { language = "Needed to rank languages" }   # or { "*" = "reason" }: the whole field
    approved_by = "privacy@example.com"
    approved_on = 2026-01-31
    expires_on = 2027-01-31               # optional: the last day that the entry is valid
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from telemetry.errors import InvalidAllowlistError
from telemetry.logger import get_logger
from telemetry.markdown import cell, code
from telemetry.names import NAME_RULE, is_valid_name
from telemetry.reviewed_file import ReviewedTable, read_tables
from telemetry.text import text_problem

WHOLE_FIELD = "*"
"""As a key: all of `private_metadata` may be exported."""

ADDITIONAL_EVENT_TYPES_VARIABLE = "TELEMETRY_SENSITIVEMETADATA_ADDITIONAL_ALLOWED_EVENT_TYPES"

_FIELDS = frozenset({"feature", "action", "keys", "approved_by", "approved_on", "expires_on"})
_REQUIRED = ("feature", "keys", "approved_by", "approved_on")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AllowlistEntry:
    """The private metadata of an event type that may be exported.

    Attributes:
        feature: The feature.
        action: The action; None for all actions of the feature.
        keys: The private keys that may be exported, each with the reason; `*` for the whole field.
        approved_by: The person responsible for it.
        approved_on: Date of the approval.
        expires_on: The last day that the entry is valid; None for no expiry.
        origin: File and line, for messages.
    """

    feature: str
    action: str | None
    keys: Mapping[str, str]
    approved_by: str
    approved_on: date | None
    expires_on: date | None = None
    origin: str = ""

    @property
    def whole_field(self) -> bool:
        """Whether all of `private_metadata` may be exported."""
        return WHOLE_FIELD in self.keys

    def is_valid_on(self, today: date) -> bool:
        """Return whether the entry is not expired."""
        return self.expires_on is None or today <= self.expires_on


class Allowlist:
    """The entries of the allowlist, by event type.

    Args:
        entries: At most one entry per feature and action.

    Raises:
        InvalidAllowlistError: Two entries are for the same event type.
    """

    def __init__(self, entries: Iterable[AllowlistEntry] = ()) -> None:
        self.entries = tuple(entries)
        self._by_type: dict[tuple[str, str | None], AllowlistEntry] = {}
        self._reported: set[tuple[str, str | None]] = set()
        for entry in self.entries:
            event_type = (entry.feature, entry.action)
            if first := self._by_type.get(event_type):
                raise InvalidAllowlistError(
                    entry.origin,
                    f"duplicates the entry at {first.origin}: {entry.feature}, {entry.action or 'all actions'}",
                )
            self._by_type[event_type] = entry

    def entry_for(self, feature: str, action: str, today: date) -> AllowlistEntry | None:
        """Return the valid entry for an event: the entry of its exact action, else of its feature.

        The two are never combined. An expired exact entry still takes precedence over the feature's entry, so that
        an expiry never allows more. The first lookup of an expired entry logs it.
        """
        # SECURITY: this lookup decides which private metadata is exported.
        entry = self.matching_entry(feature, action)
        if entry is None or entry.is_valid_on(today):
            return entry
        event_type = (entry.feature, entry.action)
        if event_type not in self._reported:
            self._reported.add(event_type)
            _log.warning("allowlist entry expired", entry=entry.origin, expired_on=str(entry.expires_on))
        return None

    def matching_entry(self, feature: str, action: str) -> AllowlistEntry | None:
        """Return the entry for an event, even if it is expired: see `entry_for`."""
        exact = self._by_type.get((feature, action))
        return self._by_type.get((feature, None)) if exact is None else exact

    def __len__(self) -> int:
        return len(self.entries)


def parse_allowlist(text: str, origin: str = "allowlist") -> list[AllowlistEntry]:
    """Parse the entries of an allowlist file.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.

    Raises:
        InvalidAllowlistError: The text is not valid TOML, or an entry is invalid; names the line.
    """
    return [_parse_entry(table) for table in read_tables(text, origin, "event", InvalidAllowlistError)]


def parse_additional_event_types(text: str) -> list[AllowlistEntry]:
    """Parse entries from the environment: `feature::action` or `feature::action::key::key`, comma separated.

    The action `*` matches all actions; without keys, the whole field may be exported.

    Raises:
        InvalidAllowlistError: An entry is invalid; names its position.
    """
    entries = []
    words = [word.strip() for word in text.split(",") if word.strip()]
    for position, word in enumerate(words, start=1):
        origin = f"{ADDITIONAL_EVENT_TYPES_VARIABLE}, entry {position}"
        feature, separator, rest = word.partition("::")
        action, *keys = rest.split("::")
        if not separator or not is_valid_name(feature) or not (action == WHOLE_FIELD or is_valid_name(action)):
            raise InvalidAllowlistError(origin, f"must be feature::action[::key...]; a name {NAME_RULE}")
        if not all(keys) or WHOLE_FIELD in keys or len(set(keys)) != len(keys):
            raise InvalidAllowlistError(origin, "keys must be named once each; leave them out for the whole field")
        entries.append(
            AllowlistEntry(
                feature=feature,
                action=None if action == WHOLE_FIELD else action,
                keys=dict.fromkeys(keys or [WHOLE_FIELD], "added in the environment"),
                approved_by="the environment",
                approved_on=None,
                origin=origin,
            )
        )
    return entries


def render_allowlist(allowlist: Allowlist) -> str:
    """Render the allowlist as a Markdown page with a table."""
    rows = [
        f"| `{entry.feature}` | {f'`{entry.action}`' if entry.action else 'all'} | "
        f"{'everything' if key == WHOLE_FIELD else code(key)} | {cell(reason)} | "
        f"{cell(entry.approved_by)} | {entry.approved_on or ''} | {entry.expires_on or 'never'} |"
        for entry in sorted(allowlist.entries, key=lambda entry: (entry.feature, entry.action or ""))
        for key, reason in entry.keys.items()
    ]
    return "\n".join(
        [
            "# Private metadata that may be exported",
            "",
            "Everything that is not in this table stays on the instance. Generated from the allowlist file by",
            "`telemetry allowlist docs`; do not edit.",
            "",
            "| feature | action | private key | reason | approved by | approved on | expires on |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _parse_entry(table: ReviewedTable) -> AllowlistEntry:
    table.check_fields(_FIELDS, _REQUIRED)
    return AllowlistEntry(
        feature=table.name("feature"),
        action=table.name("action") if "action" in table.fields else None,
        approved_by=table.text("approved_by", "the person responsible for this entry"),
        approved_on=table.day("approved_on"),
        expires_on=table.day("expires_on") if "expires_on" in table.fields else None,
        keys=_parse_keys(table),
        origin=table.origin,
    )


def _parse_keys(table: ReviewedTable) -> dict[str, str]:
    keys = table.fields["keys"]
    if not isinstance(keys, dict) or not keys:
        raise table.fault("keys", 'keys must be a table of keys, each with a reason: keys = { language = "why" }')
    if WHOLE_FIELD in keys and len(keys) > 1:
        raise table.fault("keys", "keys contains '*' (the whole field) and other keys; use one or the other")
    for key in keys:
        if not key or text_problem(key):
            raise table.fault("keys", "keys contains a key that cannot be recorded")
    return {key: table.reason("keys", "key", key) for key in keys}
