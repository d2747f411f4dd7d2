"""The reviewed allowlist: which private metadata of which events may leave.

A TOML file, one `[[event]]` table an entry:

    [[event]]
    feature = "search.results"
    action = "submit"                     # left out: all actions of the feature
    keys = { language = "Needed to rank languages" }   # or { "*" = "reason" }: the whole field
    approved_by = "privacy@example.com"
    approved_on = 2026-01-31
    expires_on = 2027-01-31               # optional: the last day that it holds
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
"""As a key: all of `private_metadata` may leave."""

ADDITIONAL_EVENT_TYPES_VARIABLE = "TELEMETRY_SENSITIVEMETADATA_ADDITIONAL_ALLOWED_EVENT_TYPES"

_FIELDS = frozenset({"feature", "action", "keys", "approved_by", "approved_on", "expires_on"})
_REQUIRED = ("feature", "keys", "approved_by", "approved_on")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AllowlistEntry:
    """What may leave of one event type.

    Attributes:
        feature: The feature.
        action: The action; None for all actions of the feature.
        keys: The private keys that may leave, each with the reason why; `*` for the whole field.
        approved_by: Who answers for it.
        approved_on: Since when.
        expires_on: The last day that it holds; None: until it is taken out.
        origin: Where it stands, for people.
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
        """Whether all of `private_metadata` may leave."""
        return WHOLE_FIELD in self.keys

    def holds_on(self, today: date) -> bool:
        """Returns whether the entry has not expired."""
        return self.expires_on is None or today <= self.expires_on


class Allowlist:
    """The entries, looked up by event type.

    Args:
        entries: At most one for each feature and action.

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
        """Returns the entry that holds today for an event: the exact action's, else the feature's.

        The two are never united. An exact entry that has expired still stands before the feature's:
        nothing leaves because an approval ran out. The first look-up that meets one logs it.
        """
        # SECURITY: this look-up decides which private metadata leaves.
        entry = self.standing_entry(feature, action)
        if entry is None or entry.holds_on(today):
            return entry
        event_type = (entry.feature, entry.action)
        if event_type not in self._reported:
            self._reported.add(event_type)
            _log.warning("allowlist entry expired", entry=entry.origin, expired_on=str(entry.expires_on))
        return None

    def standing_entry(self, feature: str, action: str) -> AllowlistEntry | None:
        """Returns the entry that stands for an event, whether or not it has expired: see `entry_for`."""
        exact = self._by_type.get((feature, action))
        return self._by_type.get((feature, None)) if exact is None else exact

    def __len__(self) -> int:
        return len(self.entries)


def parse_allowlist(text: str, origin: str = "allowlist") -> list[AllowlistEntry]:
    """Reads the entries of an allowlist file.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.

    Raises:
        InvalidAllowlistError: The text is no TOML, or an entry breaks the format; says the line.
    """
    return [_parse_entry(table) for table in read_tables(text, origin, "event", InvalidAllowlistError)]


def parse_additional_event_types(text: str) -> list[AllowlistEntry]:
    """Reads entries from the environment: `feature::action` or `feature::action::key::key`, comma separated.

    `*` as the action stands for all actions; without keys, the whole field may leave.

    Raises:
        InvalidAllowlistError: An entry is not of that form; says which.
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
    """Returns the allowlist as people read it: a Markdown page with a table."""
    rows = [
        f"| `{entry.feature}` | {f'`{entry.action}`' if entry.action else 'all'} | "
        f"{'everything' if key == WHOLE_FIELD else code(key)} | {cell(reason)} | "
        f"{cell(entry.approved_by)} | {entry.approved_on or ''} | {entry.expires_on or 'never'} |"
        for entry in sorted(allowlist.entries, key=lambda entry: (entry.feature, entry.action or ""))
        for key, reason in entry.keys.items()
    ]
    return "\n".join(
        [
            "# Private metadata that may leave",
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
        raise table.fault("keys", 'keys must name private keys, each with a reason: keys = { language = "why" }')
    if WHOLE_FIELD in keys and len(keys) > 1:
        raise table.fault("keys", "keys holds '*' (the whole field) beside other keys; keep one or the other")
    for key in keys:
        if not key or text_problem(key):
            raise table.fault("keys", "keys contains a key that cannot be recorded")
    return {key: table.reason("keys", "key", key) for key in keys}
