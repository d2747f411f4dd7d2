"""Statements as templates, which stand beside the table that they are about, and as each database's driver takes them.

A template names its places in braces. Every name that is not listed here is a parameter.

| place | what stands there |
| --- | --- |
| `{queue}`, `{ledger}` | tables |
| `{ids}` | that a value is among the parameter `ids`, made by `list_parameter` |
| `{listed_days}` | that a day is among the parameter `days`, made by `list_parameter` |
| `{exportable}` | whether a row of `event_logs` was queued for export |
| `{text_id}` | the column `id` as text |
| `{in_utc}` | follows an event's time that is read, so that Python can read every time that an event may have |
| `{day}` | the day of the column `timestamp` in UTC, such as `20260131` |
| `{skip_locked}` | ends a `SELECT` that takes its rows for an update, and leaves out what others have just taken |
| `{spans}` | a `SELECT` of `position`, `since` and `until` from the parameter `spans`, a JSON array of pairs |
| `{json_array}`, `{json_object}` | the functions that make an array of values, and an object of rows |
| `{readable_text}` | the type to cast a text to that may hold bytes which are not text |
"""

from collections.abc import Mapping
from typing import Final

from telemetry_store.dialects import DatabaseDialect

QUEUE: Final = "telemetry_events_export_queue"
LEDGER: Final = "telemetry_export_ledger"

EXPORTABLE_MARK: Final = "telemetry.event.exportable"
"""The key in `event_logs.public_argument` that says whether an event was queued for export."""


class _Places(dict[str, str]):
    """What stands at each place; a name that is not known is a parameter."""

    def __init__(self, dialect: DatabaseDialect) -> None:
        super().__init__(
            dialect.places,
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
    """Statements by name. Their text is made once for each database that is used.

    Args:
        templates: The templates by name.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates = templates
        self._texts: dict[DatabaseDialect, Mapping[str, str]] = {}

    def on(self, dialect: DatabaseDialect) -> Mapping[str, str]:
        """Returns the statements as a database's driver takes them, by name."""
        texts = self._texts.get(dialect)
        if texts is None:
            places = _Places(dialect)
            texts = {name: template.format_map(places) for name, template in self._templates.items()}
            self._texts[dialect] = texts
        return texts
