"""`telemetry queue`: events waiting to be exported."""

from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

import typer

from telemetry_cli.export_preview import preview_event
from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl, Limit
from telemetry_cli.output import out, print_facts, print_json, print_json_lines, print_rows, print_text
from telemetry_cli.progress import show_progress
from telemetry_cli.rows import checked_ids, event_of, find, print_event, row_facts, time_text
from telemetry_store.export_queue import ExportQueue
from telemetry_store.queue_reading import WAITING, QueueState

app = typer.Typer(help="Show events waiting to be exported, and retry delayed ones.", no_args_is_help=True)

_ROWS_AT_A_TIME = 10_000
"""As many as an exporter leases. Not fewer, because each statement searches from the oldest row on."""


class Waiting(Enum):
    """The states that `--state` accepts."""

    DUE = QueueState.DUE.value
    LEASED = QueueState.LEASED.value
    DELAYED = QueueState.DELAYED.value


@app.command()
def status(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Count the events in each state, and print why nothing is queued if that is so."""
    with open_queue(database_url) as opened:
        counts = opened.queue.counts()
        policy = opened.settings.export_policy()
    age = None if counts.oldest_pending is None else (datetime.now(UTC) - counts.oldest_pending).total_seconds()
    facts = {
        **asdict(counts),
        "recorded_for_export": counts.recorded,
        "oldest_pending_age_seconds": age,
        "export_mode": str(policy.export_mode),
        "telemetry_mode": policy.telemetry_mode.value,
        "nothing_leaves_because": policy.obstacle,
    }
    if as_json:
        print_json(facts)
        return
    print_facts("Export queue", {name.replace("_", " "): value for name, value in facts.items()})
    if policy.obstacle is not None:
        print_text(f"Nothing is queued or sent by this environment: {policy.obstacle}. Events still go to event_logs.")


@app.command("list")
def list_(
    state: Annotated[
        Waiting | None, typer.Option(help="Only events in this state. Default: all waiting events.", show_default=False)
    ] = None,
    limit: Limit = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List events waiting to be exported, oldest first: due, leased by an exporter, or delayed."""
    with open_queue(database_url) as opened:
        rows = opened.reading.waiting(limit, None if state is None else QueueState(state.value))
    if as_json:
        print_json_lines(row_facts(row) for row in rows)
        return
    print_rows(
        "Waiting",
        ("id", "happened", "state", "due", "attempts", "event"),
        (
            (
                row.id,
                time_text(row.timestamp),
                row.state.value,
                time_text(row.due_at),
                row.attempts,
                event_of(row.payload).name,
            )
            for row in rows
        ),
    )


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one event of the queue, in any state, and what would be exported of it now."""
    with open_queue(database_url) as opened:
        row = find(opened.reading, event_id)
        policy, redactor = opened.settings.export_policy(), opened.settings.redactor()
    preview = preview_event(row.id, row.payload, policy=policy, redactor=redactor) if row.state in WAITING else None
    print_event(row, preview, as_json=as_json)


@app.command()
def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The ids of events. Default: all delayed events.")
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make delayed events due now, all of them or some; for use after the cause of a failure is fixed.

    Their failed attempts are kept. Leased events are not changed. The command may be interrupted and repeated.
    """
    checked = checked_ids(ids or [])
    with open_queue(database_url) as opened:
        retried = opened.queue.retry(checked) if checked else _retry_all(opened.queue)
        delayed = opened.queue.counts().delayed
    if as_json:
        print_json({"retried": retried, "delayed": delayed})
    else:
        out.print(f"{retried} of {len(checked)} due now" if checked else f"{retried} due now", highlight=False)
    if retried < len(checked):
        print_text("The others are not delayed: see `telemetry queue show ID`.")
        raise typer.Exit(1)


def _retry_all(queue: ExportQueue) -> int:
    retried = 0
    with show_progress("events", queue.counts().delayed) as shown:
        while more := queue.retry_some(_ROWS_AT_A_TIME):
            retried += more
            shown.advance(more)
    return retried
