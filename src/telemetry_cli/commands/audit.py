"""`telemetry audit`: check that every recorded event is accounted for."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from recorder.settings import RecorderSettings
from telemetry_cli.options import AsJson, DatabaseUrl
from telemetry_cli.output import print_error, print_facts, print_json, print_rows, print_text
from telemetry_cli.progress import show_progress
from telemetry_store.audit import Audit, Auditor, Place
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

_LABELS = {
    "event_logs": "rows in event_logs",
    "event_logs_pruned": "+ deleted from it past the retention",
    "unlogged": "+ recorded without a row in it",
    "adopted_event_logs": "- in event_logs before counting began",
    "adopted_queue": "+ in the queue before counting began",
    "expected": "= recorded for export",
    "pending": "pending",
    "exported": "+ exported",
    "dead": "+ dead letters",
    "cleaned": "+ exported and cleaned up",
    "dropped": "+ dropped by operators",
    "recorded": "= recorded for export, by the queue",
}


def audit(
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="Accept the current differences, once their cause is known. Asks for confirmation."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check that every recorded event is accounted for; ends with 1 if events are missing, and prints where.

    Both tables are counted in one snapshot, so services and exporters may run meanwhile. The audit cannot
    detect that a row of an event recorded without event_logs was deleted manually.
    """
    settings = RecorderSettings.load(database_url=database_url)
    database = Database(create_database_engine(settings.database_url))
    try:
        auditor = Auditor(database)
        if accept:
            if not yes:
                typer.confirm("Accept the tables as they are, including missing events?", abort=True, err=True)
            found = _with_progress(auditor, accept=True)
        else:
            found = _with_progress(auditor, accept=False)
    finally:
        database.close()
    if as_json:
        print_json(_facts(found, accepted=accept))
    else:
        _print(found, accepted=accept)
    if not (found.balanced or accept):
        raise typer.Exit(1)


def _with_progress(auditor: Auditor, *, accept: bool) -> Audit:
    with show_progress("rows", None) as shown:
        return (auditor.accept if accept else auditor.audit)(shown.reach)


def _facts(found: Audit, *, accepted: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(found, name) for name in _LABELS}
    facts["missing_from_queue"] = found.missing_from_queue
    facts["balanced"] = found.balanced
    facts["accepted"] = accepted
    facts["days_counted"] = found.days_counted
    facts["places"] = [{**asdict(place), "day": _day(place)} for place in found.places]
    return facts


def _print(found: Audit, *, accepted: bool) -> None:
    shown = {name: getattr(found, name) for name in _LABELS}
    if not (found.adopted_event_logs or found.adopted_queue):
        del shown["adopted_event_logs"], shown["adopted_queue"]
    print_facts("Audit", {_LABELS[name]: f"{value:,}" for name, value in shown.items()})
    if found.places:
        print_rows(
            "Differences",
            ("day (UTC)", "event", "missing"),
            ((_day(place), place.name or f"(type {place.type_hash})", _missing(place)) for place in found.places),
        )
    if accepted:
        print_text("Accepted: the audit no longer reports this difference.")
    elif found.balanced:
        print_text("All events are accounted for.")
    else:
        print_error(_verdict(found))
        if not found.days_counted:
            print_text("The database was adopted: earlier days may differ because of that; only the totals count.")


def _day(place: Place) -> str:
    try:
        return datetime.strptime(place.day, "%Y%m%d").date().isoformat()  # noqa: DTZ007 - a day in UTC
    except ValueError:  # the table was changed by another program
        return place.day


def _missing(place: Place) -> str:
    missing = place.missing_from_queue
    return f"{missing:,} in the queue" if missing > 0 else f"{-missing:,} in event_logs"


def _verdict(found: Audit) -> str:
    if not found.places:
        where = "the queue" if found.missing_from_queue > 0 else "event_logs"
        return (
            f"{abs(found.missing_from_queue):,} events are missing from {where} by the totals, "
            "although each day is balanced. Another program changed telemetry_export_ledger; "
            "see docs/how-to/operate.md"
        )
    in_queue = sum(max(place.missing_from_queue, 0) for place in found.places)
    in_event_logs = sum(max(-place.missing_from_queue, 0) for place in found.places)
    return (
        f"{in_queue:,} events are missing from the queue, {in_event_logs:,} from event_logs. "
        "Another program deleted or inserted rows; see docs/how-to/operate.md"
    )
