"""`telemetry gateway rejects`: list the rejected events of a gateway, and publish them again."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from telemetry_cli.event_content import event_content
from telemetry_cli.options import AsJson
from telemetry_cli.output import out, print_facts, print_json, print_json_lines, print_rows
from telemetry_gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from telemetry_gateway import Reject

app = typer.Typer(help="List rejected events, and publish them again.", no_args_is_help=True)


@app.callback()
def callback() -> None:
    """List rejected events, and publish them again."""


@app.command("list")
def list_rejects(
    limit: Annotated[int, typer.Option(min=1, help="The maximum number of events, the latest first.")] = 20,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show the events as well. They may contain private metadata.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List rejected events with their reasons, the latest first.

    Reads TELEMETRY_GATEWAY_REJECTS_FILE. A gateway may be running.
    """
    from telemetry_gateway import read_rejects  # noqa: PLC0415 - an optional part

    kept = list(read_rejects(GatewaySettings.load().rejects_file))
    rows = [_facts(reject, payload=payload) for reject in reversed(kept[-limit:])]
    if as_json:
        print_json_lines(rows)
        return
    columns = ("event_id", "at", "publisher", "reason", *(("event",) if payload else ()))
    print_rows(
        f"Rejected events, {len(rows)} of {len(kept)}", columns, ([row[name] for name in columns] for row in rows)
    )


def _facts(reject: "Reject", *, payload: bool) -> dict[str, object]:
    facts: dict[str, object] = {
        "event_id": reject.event.id,
        "at": reject.at.isoformat(timespec="seconds"),
        "publisher": reject.publisher,
        "reason": reject.reason,
    }
    if payload:
        facts["event"] = event_content(reject.event) or "cannot be represented as JSON"
    return facts


@app.command()
def replay(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, without changing anything.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check rejected events again, publish what can be accepted now, and keep the rest.

    For use after correcting the settings of the gateway, for example a message limit of the sink. Reads the
    settings of the gateway from the environment. With the sink jsonl, stop the gateway first: its file has
    one writer. The command may be interrupted and repeated. Lines that cannot be read are kept in
    REJECTS_FILE.unreadable.
    """
    from telemetry_gateway import replay_rejects  # noqa: PLC0415 - an optional part

    report = replay_rejects(GatewaySettings.load(), dry_run=dry_run)
    if as_json:
        print_json({**asdict(report), "dry_run": dry_run})
        return
    print_facts("Rejects", {name.replace("_", " "): value for name, value in asdict(report).items()})
    if dry_run:
        out.print("Nothing was changed.")
