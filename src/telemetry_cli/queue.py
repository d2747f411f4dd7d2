"""`telemetry queue`: what waits to be exported."""

from dataclasses import asdict
from datetime import UTC, datetime

import typer

from telemetry_cli.opening import open_queue
from telemetry_cli.options import AsJson, DatabaseUrl
from telemetry_cli.output import out, print_facts, print_json

app = typer.Typer(help="See what waits to be exported.", no_args_is_help=True)


@app.callback()
def callback() -> None:
    """See what waits to be exported."""


@app.command()
def status(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """Count the events in each state, and say when nothing is queued at all, and why."""
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
        out.print(
            f"Nothing is queued or sent by this environment: {policy.obstacle}. Events still go to event_logs.",
            highlight=False,
            soft_wrap=True,
        )
