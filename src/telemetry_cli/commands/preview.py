"""`telemetry export preview`: exactly what would leave, and what would not, and why."""

from collections import Counter

from rich.markup import escape

from telemetry_cli.leaving import Leaving, judge
from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl, ExportModeOption, Limit
from telemetry_cli.output import err, out, print_json_lines, print_text


def preview(
    limit: Limit = 20,
    export_mode: ExportModeOption = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print exactly what would leave, next event first, and send nothing.

    Each event is redacted just as the exporter would do it now. Below it stand its parts that are
    held back, with the rule that holds them; never a value of theirs. The queue holds events that
    were redacted when they were recorded: of what was taken out then, the rule for the event's type
    tells. With --json, a line an event.
    """
    with open_queue(database_url, export_mode=export_mode) as opened:
        policy, redactor = opened.settings.export_policy(), opened.settings.redactor()
        waiting = opened.reading.preview(limit)
        total = opened.queue.counts().pending
    judged = [judge(event_id, payload, policy=policy, redactor=redactor) for event_id, payload in waiting]
    if as_json:
        print_json_lines(each.as_json() for each in judged)
    else:
        for each in judged:
            _print(each)
    if not judged:
        err.print("The queue is empty: nothing would leave.")
    elif len(judged) < total:
        err.print(f"{len(judged)} of {total} waiting events are shown (--limit)", highlight=False, soft_wrap=True)
    for reason, count in Counter(each.held_because for each in judged if each.held_because).items():
        err.print(f"{count} held back: {escape(reason)}", highlight=False, soft_wrap=True)


def _print(leaving: Leaving) -> None:
    facts = leaving.as_json()
    if leaving.sent is None:
        print_text(f"{leaving.id}  {leaving.name or ''}  nothing of it leaves: {leaving.held_because}")
        return
    if facts["event"] is None:
        print_text(f"{leaving.id}  {leaving.name}  cannot be written as JSON; a gateway will reject it")
    else:
        out.print_json(data=facts["event"])
    for held in leaving.held_back:
        print_text(f"  held back: {held.place}: {held.because}")
