"""`telemetry exported`: exported events."""

from typing import Annotated

import typer

from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl, Limit
from telemetry_cli.output import err, print_json_lines, print_rows
from telemetry_cli.rows import event_of, find, print_event, time_text
from telemetry_store.queue_reading import QueueState

app = typer.Typer(help="Show exported events.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Limit = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List exported events that the queue still contains, the latest first.

    Exported events are kept for TELEMETRY_GATEWAY_EXPORTER_EXPORTED_EVENTS_RETENTION, 24 h by default.
    With --json, each line contains the event as stored in the queue.
    """
    with open_queue(database_url) as opened:
        rows = opened.reading.exported(limit)
        total = opened.reading.exported_count()
    events = [(row, event_of(row.payload)) for row in rows]
    if as_json:
        print_json_lines(
            {"id": row.id, "exported_at": row.exported_at, "event": event.content} for row, event in events
        )
    else:
        print_rows(
            "Exported",
            ("id", "exported", "event"),
            ((row.id, time_text(row.exported_at), event.name) for row, event in events),
        )
    if len(rows) < total:
        err.print(f"showing {len(rows)} of {total} (--limit)", highlight=False)


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one exported event, as stored in the queue."""
    with open_queue(database_url) as opened:
        row = find(opened.reading, event_id, QueueState.EXPORTED)
    print_event(row, None, as_json=as_json)
