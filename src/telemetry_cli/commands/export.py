"""`telemetry export`: the export job, once or for as long as it is wanted, and what it would send."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated

import typer

from export.settings import ExporterSettings
from telemetry import ExportPolicy
from telemetry_cli.commands.preview import preview
from telemetry_cli.log_lines import log_to_stderr
from telemetry_cli.options import AsJson, DatabaseUrl, ExportAddress, ExportModeOption
from telemetry_cli.output import err, print_facts, print_json
from telemetry_cli.progress import follow_progress
from telemetry_runtime.privacy_settings import ConsentSettings
from telemetry_runtime.settings import InvalidSettingsError
from telemetry_store.errors import RecorderError

if TYPE_CHECKING:
    from export import CleanupReport, ExportJobs, PassReport

app = typer.Typer(help="Send what is due, or show what would be sent.", no_args_is_help=True)


@app.command()
def once(
    addr: ExportAddress = None,
    export_mode: ExportModeOption = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Send everything that is due, clean up, and end; for cron or a Kubernetes CronJob.

    Ends with 1 when the gateway or the database failed; what is left is sent the next time. SIGTERM
    and Ctrl-C end it soon, with leases given back; Ctrl-C ends it with 130.
    """
    from export import ExportJobs  # noqa: PLC0415 - an optional part

    settings = _settings(addr=addr, export_mode=export_mode, database_url=database_url)
    jobs = ExportJobs(settings, load_policy=_consent(export_mode))

    def stop() -> None:
        jobs.exporter.stop()
        jobs.cleanup.stop()

    came = _stop_on_signals(stop)
    cleaned: CleanupReport | None = None
    try:
        with follow_progress("events", _waiting(jobs), jobs.metrics.registry, ("events_exported", "events_dead")):
            report = jobs.exporter.run_pass()
        try:
            if report.is_well:
                cleaned = jobs.cleanup.run()
        finally:  # what has left is told also where the cleanup fails
            _print_report(report, cleaned, as_json=as_json)
    finally:
        jobs.close()
    if signal.SIGINT in came:
        raise typer.Exit(128 + signal.SIGINT)
    if not report.is_well:
        raise typer.Exit(1)


@app.command()
def run(
    addr: ExportAddress = None,
    export_mode: ExportModeOption = None,
    database_url: DatabaseUrl = None,
    metrics_addr: Annotated[
        str | None,
        typer.Option(
            help="Serve Prometheus metrics there, host:port. Default: TELEMETRY_GATEWAY_EXPORTER_METRICS_ADDR, "
            "else nowhere.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export, clean up and measure at intervals, until SIGTERM or Ctrl-C.

    Then: no new lease, at most 10 s for what is on its way, leases given back, exit 0. Any number
    of these may run on one queue. Logs go to standard error.
    """
    from export import ExportJobs  # noqa: PLC0415 - an optional part
    from telemetry_runtime.metrics_port import serve_metrics  # noqa: PLC0415 - likewise

    log_to_stderr(logging.INFO)
    settings = _settings(addr=addr, export_mode=export_mode, database_url=database_url, metrics_addr=metrics_addr)
    jobs = ExportJobs(settings, load_policy=_consent(export_mode))
    stopping = threading.Event()
    _stop_on_signals(stopping.set)
    with contextlib.ExitStack() as closing:
        if settings.metrics_addr is not None:
            port = serve_metrics(jobs.metrics.registry, settings.metrics_addr)
            closing.callback(port.stop)
            err.print(f"metrics at http://{port.address}/metrics", highlight=False, soft_wrap=True)
        jobs.start()
        # With a timeout, because a wait without one keeps Python from handling signals on some systems.
        while not stopping.wait(timeout=1):
            pass
        jobs.stop()


app.command()(preview)


def _settings(*, addr: str | None, **arguments: str | None) -> ExporterSettings:
    settings = ExporterSettings.load(export_addr=addr, **arguments)
    if settings.export_addr is None:
        variable = ExporterSettings.variable_of("export_addr")
        raise InvalidSettingsError([(variable, "is not set, so there is nowhere to export to; or give --addr")])
    return settings


def _consent(export_mode: str | None) -> Callable[[], ExportPolicy]:
    """Returns what reads consent and export mode anew: `telemetry mode off` is for exporters that run, too."""
    # Without the export switch: that decides what is queued.
    return lambda: ConsentSettings.load(export_mode=export_mode).export_policy()


def _waiting(jobs: "ExportJobs") -> int | None:
    """Returns how many events there are to send; None where nobody looks, or the database does not say."""
    if not err.is_terminal:
        return None
    try:
        return jobs.queue.counts().pending
    except RecorderError:  # the pass tells it
        return None


def _stop_on_signals(stop: Callable[[], None]) -> list[int]:
    """Calls `stop` once SIGTERM or SIGINT came, in a thread of its own; returns a list that gets those that came.

    A handler runs in the middle of whatever the main thread does, which may hold the very lock that `stop` waits for.
    """
    arrived: SimpleQueue[int] = SimpleQueue()  # its `put` is made to be called from a handler

    def wait() -> None:
        arrived.get()
        stop()

    came: list[int] = []

    def handle(number: int, _frame: object) -> None:
        came.append(number)
        arrived.put(number)

    threading.Thread(target=wait, name="telemetry-signals", daemon=True).start()
    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return came


def _print_report(report: "PassReport", cleaned: "CleanupReport | None", *, as_json: bool) -> None:
    facts = report.facts()
    if cleaned is not None:
        facts["cleaned"] = cleaned.exported
        facts["event_logs_cleaned"] = cleaned.event_logs
    if as_json:
        print_json(facts)
        return
    facts["duration"] = f"{report.duration:.2f} s"
    print_facts("Export", {name.replace("_", " "): value for name, value in facts.items()})
