"""`telemetry cleanup`: delete rows past their retention now."""

from dataclasses import asdict

from export.settings import ExporterSettings
from telemetry_cli.options import AsJson, DatabaseUrl
from telemetry_cli.output import print_facts, print_json
from telemetry_cli.progress import follow_progress
from telemetry_runtime.extras import needs_extra
from telemetry_runtime.settings import format_duration
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue


def cleanup(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Delete exported events past their retention, and old rows of event_logs if a retention is set.

    `telemetry export once` and `run` do this as well. Unexported events and dead letters are never
    deleted. Rows are deleted in small transactions, so the command may be interrupted and repeated.
    """
    with needs_extra("export"):
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an optional part

        from export import Cleanup, ExportMetrics  # noqa: PLC0415 - likewise
    settings = ExporterSettings.load(database_url=database_url)
    database = Database(create_database_engine(settings.database_url, timeout=settings.database_timeout))
    metrics = ExportMetrics(CollectorRegistry())
    work = Cleanup(
        database,
        ExportQueue(database),
        exported_retention=settings.exported_events_retention,
        event_logs_retention=settings.event_logs_retention,
        metrics=metrics,
    )
    try:
        with follow_progress("rows", None, metrics.registry, ("events_pruned", "event_logs_pruned")):
            report = work.run()
    finally:
        database.close()
    if as_json:
        print_json(asdict(report))
        return
    kept = settings.event_logs_retention
    print_facts(
        "Deleted",
        {
            f"exported more than {format_duration(settings.exported_events_retention)} ago": f"{report.exported:,}",
            "event_logs": "kept forever"
            if kept is None
            else f"{report.event_logs:,} older than {format_duration(kept)}",
        },
    )
