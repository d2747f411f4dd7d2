"""SQL templates, and the statements that each database's driver executes. A template is defined beside its table.

A template has placeholders in braces. Every name that is not listed here is a parameter.

| placeholder | meaning |
| --- | --- |
| `{queue}`, `{ledger}` | tables |
| `{ids}` | condition: the value is in the parameter `ids`, made by `list_parameter` |
| `{listed_days}` | condition: the day is in the parameter `days`, made by `list_parameter` |
| `{exportable}` | condition: a row of `event_logs` was queued for export |
| `{text_id}` | the column `id` as text |
| `{in_utc}` | follows an event's time in a result, so that Python can represent every time that an event may have |
| `{day}` | the day of the column `timestamp` in UTC, such as `20260131` |
| `{skip_locked}` | ends a `SELECT` that locks its rows for an update, and skips rows that others have locked |
| `{spans}` | a `SELECT` of `position`, `since` and `until` from the parameter `spans`, a JSON array of pairs |
| `{json_array}`, `{json_object}` | the functions that build an array of values, and an object of rows |
| `{readable_text}` | the type to which a text is cast that may hold bytes that are not valid text |
"""

from collections.abc import Mapping
from typing import Final

from telemetry_store.dialects import DatabaseDialect

QUEUE: Final = "telemetry_events_export_queue"
LEDGER: Final = "telemetry_export_ledger"

EXPORTABLE_MARK: Final = "telemetry.event.exportable"
"""The key in `event_logs.public_argument` that marks events which were queued for export."""


class _Placeholders(dict[str, str]):
    """The SQL of each placeholder; an unknown name is a parameter."""

    def __init__(self, dialect: DatabaseDialect) -> None:
        super().__init__(
            dialect.placeholders,
            queue=QUEUE,
            ledger=LEDGER,
            ids=dialect.in_list("ids", "uuid"),
            listed_days=dialect.in_list("days", "text"),
            exportable=dialect.json_is_true("public_argument", EXPORTABLE_MARK),
        )
        self._parameter = dialect.named_parameter

    def __missing__(self, name: str) -> str:
        return self._parameter.format(name)


class Statements:
    """Statements by name. Their SQL is built once for each kind of database.

    Args:
        templates: The templates by name.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates = templates
        self._texts: dict[DatabaseDialect, Mapping[str, str]] = {}

    def on(self, dialect: DatabaseDialect) -> Mapping[str, str]:
        """Return the SQL for a database's driver, by name."""
        texts = self._texts.get(dialect)
        if texts is None:
            placeholders = _Placeholders(dialect)
            texts = {name: template.format_map(placeholders) for name, template in self._templates.items()}
            self._texts[dialect] = texts
        return texts
