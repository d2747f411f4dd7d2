"""`telemetry export preview`: exactly what would be exported, and what would be held back and why."""

from collections import Counter

from rich.markup import escape

from telemetry_cli.export_preview import ExportPreview, preview_event
from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl, ExportModeOption, Limit
from telemetry_cli.output import err, out, print_json_lines, print_text


def preview(
    limit: Limit = 20,
    export_mode: ExportModeOption = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print exactly what would be exported, next event first, without sending it.

    Each event is redacted exactly as the exporter would do it now. Below it are the parts that are held
    back, each with its rule, but never with its value. Events are also redacted when they are recorded:
    for parts removed then, the rule for the event type is shown. With --json, prints a line per event.
    """
    with open_queue(database_url, export_mode=export_mode) as opened:
        policy, redactor = opened.settings.export_policy(), opened.settings.redactor()
        rows = opened.reading.preview(limit)
        total = opened.queue.counts().pending
    previews = [preview_event(event_id, payload, policy=policy, redactor=redactor) for event_id, payload in rows]
    if as_json:
        print_json_lines(each.as_json() for each in previews)
    else:
        for each in previews:
            _print(each)
    if not previews:
        err.print("The queue is empty: nothing would be exported.")
    elif len(previews) < total:
        err.print(f"showing {len(previews)} of {total} waiting events (--limit)", highlight=False, soft_wrap=True)
    for reason, count in Counter(each.held_because for each in previews if each.held_because).items():
        err.print(f"{count} held back: {escape(reason)}", highlight=False, soft_wrap=True)


def _print(event: ExportPreview) -> None:
    facts = event.as_json()
    if event.sent is None:
        print_text(f"{event.id}  {event.name or ''}  not exported: {event.held_because}")
        return
    if facts["event"] is None:
        print_text(f"{event.id}  {event.name}  cannot be represented as JSON; a gateway will reject it")
    else:
        out.print_json(data=facts["event"])
    for held in event.held_back:
        print_text(f"  held back: {held.place}: {held.because}")
