"""`telemetry dead`: dead letters, with their reasons."""

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

app = typer.Typer(help="Show dead letters with their reasons, requeue them, or delete them.", no_args_is_help=True)

_ROWS_AT_A_TIME = 1_000

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="The ids of dead letters, from `telemetry dead list`.")
]
All = Annotated[bool, typer.Option("--all", help="All dead letters, instead of ids.")]


@app.command("list")
def list_(
    limit: Limit = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons, the latest first. They are kept until they are requeued or dropped."""
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
    """Show one dead letter: the reason, and the event as stored in the queue."""
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
    """Make dead letters due again, without failed attempts; for use after the cause is fixed.

    The command may be interrupted and repeated.
    """
    chosen = _chosen(ids, all_=all_)
    with open_queue(database_url) as opened:
        requeued = _apply(opened.reading, opened.queue.requeue, chosen, opened.queue.counts().dead)
    _print_result("requeued", requeued, chosen, as_json=as_json)


@app.command()
def drop(
    ids: Ids = None,
    all_: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters from the queue permanently: they are never exported. Asks for confirmation.

    Their rows in event_logs are kept. They are counted as dropped, so that `telemetry audit` stays balanced.
    The command may be interrupted and repeated.
    """
    chosen = _chosen(ids, all_=all_)
    with open_queue(database_url) as opened:
        dead = opened.queue.counts().dead
        count = dead if all_ else len(chosen)
        if count and not yes:
            typer.confirm(f"Permanently delete {count} dead letters?", abort=True, err=True)
        dropped = _apply(opened.reading, opened.queue.drop, chosen, dead)
    _print_result("dropped", dropped, chosen, as_json=as_json)


def _chosen(ids: list[str] | None, *, all_: bool) -> list[str]:
    if bool(ids) == all_:
        raise InvalidInputError("ids", "pass the ids of dead letters or --all, but not both")
    return checked_ids(ids or [])


def _apply(reading: QueueReading, change: Callable[[Sequence[str]], int], chosen: list[str], dead: int) -> int:
    """Apply `change` to the chosen dead letters, or to all if none is chosen, in transactions of limited size."""
    if chosen:
        return change(chosen)
    changed = 0
    with show_progress("dead letters", dead) as shown:
        while letters := reading.dead_letters(_ROWS_AT_A_TIME):
            more = change([letter.id for letter in letters])
            changed += more
            shown.advance(more)
    return changed


def _print_result(done: str, count: int, chosen: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({done: count})
    else:
        out.print(f"{count} of {len(chosen)} {done}" if chosen else f"{count} {done}", highlight=False)
    if count < len(chosen):
        print_text("The others are not dead letters: see `telemetry queue show ID`.")
        raise typer.Exit(1)
