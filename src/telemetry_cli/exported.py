"""`telemetry exported`: what has left."""

import typer
from google.protobuf.json_format import MessageToDict

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl, Limit
from telemetry_cli.output import print_json_lines, print_rows

app = typer.Typer(help="See what has left.", no_args_is_help=True)


@app.callback()
def callback() -> None:
    """See what has left."""


@app.command("list")
def list_(
    limit: Limit = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """List what was exported and is still in the queue, the latest first.

    With --json, each line holds the event as it stands in the queue.
    """
    with open_queue(database_url) as opened:
        exported = opened.reading.exported(limit)
    events = [(row, pb.Event.FromString(row.payload)) for row in exported]
    if as_json:
        print_json_lines(
            {"id": row.id, "exported_at": row.exported_at, "event": MessageToDict(event)} for row, event in events
        )
        return
    print_rows(
        "Exported",
        ("id", "exported", "feature", "action"),
        ((row.id, f"{row.exported_at:%Y-%m-%d %H:%M:%S}", event.feature, event.action) for row, event in events),
    )
