"""`telemetry dead`: events that were set aside, and why."""

from dataclasses import asdict
from typing import Annotated

import typer

from telemetry.event import check_id
from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl, Limit
from telemetry_cli.output import out, print_json, print_json_lines, print_rows

app = typer.Typer(help="Events that were set aside: see why, send them again.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Limit = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """List dead letters with their reasons, the latest first. They are kept until they are requeued."""
    with open_queue(database_url) as opened:
        letters = opened.reading.dead_letters(limit)
    if as_json:
        print_json_lines(asdict(letter) for letter in letters)
        return
    print_rows(
        "Dead letters",
        ("id", "set aside", "attempts", "reason"),
        ((letter.id, f"{letter.dead_at:%Y-%m-%d %H:%M:%S}", letter.attempts, letter.reason) for letter in letters),
    )


@app.command()
def requeue(
    ids: Annotated[list[str], typer.Argument(help="The ids of dead letters, from `telemetry dead list`.")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,  # noqa: FBT002 - an option
) -> None:
    """Make dead letters due again, as if they had never been tried."""
    for event_id in ids:
        check_id(event_id)
    with open_queue(database_url) as opened:
        requeued = opened.queue.requeue(ids)
    if as_json:
        print_json({"requeued": requeued})
    else:
        out.print(f"{requeued} of {len(ids)} requeued", highlight=False)
    if requeued < len(ids):
        raise typer.Exit(1)
