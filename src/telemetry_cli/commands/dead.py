"""`telemetry dead`: events that were set aside, and why."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from telemetry import InvalidInputError
from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl, Limit
from telemetry_cli.output import out, print_json, print_json_lines, print_rows, print_text
from telemetry_cli.progress import show_progress
from telemetry_cli.rows import checked_ids, find, print_event, time_text
from telemetry_store.queue_reading import QueueReading, QueueState

app = typer.Typer(help="Events that were set aside: see why, send them again, or delete them.", no_args_is_help=True)

_ROWS_AT_A_TIME = 1_000

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="The ids of dead letters, from `telemetry dead list`.")
]
All = Annotated[bool, typer.Option("--all", help="All dead letters, in place of ids.")]


@app.command("list")
def list_(
    limit: Limit = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons, the latest first. They are kept until somebody decides."""
    with open_queue(database_url) as opened:
        letters = opened.reading.dead_letters(limit)
    if as_json:
        print_json_lines(asdict(letter) for letter in letters)
        return
    print_rows(
        "Dead letters",
        ("id", "set aside", "attempts", "reason"),
        ((letter.id, time_text(letter.dead_at), letter.attempts, letter.reason) for letter in letters),
    )


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: why it was set aside, and the event as it stands in the queue."""
    with open_queue(database_url) as opened:
        row = find(opened.reading, event_id, QueueState.DEAD)
    print_event(row, None, as_json=as_json)


@app.command()
def requeue(
    ids: Ids = None,
    all_: All = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make dead letters due again, as if they had never been tried; for after the cause is gone.

    May be interrupted and begun again.
    """
    chosen = _chosen(ids, all_=all_)
    with open_queue(database_url) as opened:
        requeued = _apply(opened.reading, opened.queue.requeue, chosen, opened.queue.counts().dead)
    _tell("requeued", requeued, chosen, as_json=as_json)


@app.command()
def drop(
    ids: Ids = None,
    all_: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters from the queue for good: they will never leave. Asks first.

    Their rows in event_logs stay. They are counted as dropped, so that `telemetry audit` still adds up.
    May be interrupted and begun again.
    """
    chosen = _chosen(ids, all_=all_)
    with open_queue(database_url) as opened:
        dead = opened.queue.counts().dead
        count = dead if all_ else len(chosen)
        if count and not yes:
            typer.confirm(f"Delete {count} dead letters for good?", abort=True, err=True)
        dropped = _apply(opened.reading, opened.queue.drop, chosen, dead)
    _tell("dropped", dropped, chosen, as_json=as_json)


def _chosen(ids: list[str] | None, *, all_: bool) -> list[str]:
    if bool(ids) == all_:
        raise InvalidInputError("ids", "name the dead letters by their ids, or give --all; not both")
    return checked_ids(ids or [])


def _apply(reading: QueueReading, change: Callable[[Sequence[str]], int], chosen: list[str], dead: int) -> int:
    """Changes what was chosen, in transactions of a bounded size; nothing chosen stands for all there are."""
    if chosen:
        return change(chosen)
    changed = 0
    with show_progress("dead letters", dead) as shown:
        while letters := reading.dead_letters(_ROWS_AT_A_TIME):
            more = change([letter.id for letter in letters])
            changed += more
            shown.advance(more)
    return changed


def _tell(done: str, count: int, chosen: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({done: count})
    else:
        out.print(f"{count} of {len(chosen)} {done}" if chosen else f"{count} {done}", highlight=False)
    if count < len(chosen):
        print_text("The others are no dead letters: see `telemetry queue show ID`.")
        raise typer.Exit(1)
