"""`telemetry export`: run the export job once or until a signal, or preview what it would send."""

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

app = typer.Typer(help="Send the events that are due, or show what would be sent.", no_args_is_help=True)


@app.command()
def once(
    addr: ExportAddress = None,
    export_mode: ExportModeOption = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Send all events that are due, clean up, and exit; for cron or a Kubernetes CronJob.

    Ends with 1 if the gateway or the database failed; remaining events are sent the next time. SIGTERM
    and Ctrl-C end it soon, with leases released; Ctrl-C ends it with 130.
    """
    from export import ExportJobs  # noqa: PLC0415 - an optional part

    settings = _settings(addr=addr, export_mode=export_mode, database_url=database_url)
    jobs = ExportJobs(settings, load_policy=_consent(export_mode))

    def stop() -> None:
        jobs.exporter.stop()
        jobs.cleanup.stop()

    received = _stop_on_signals(stop)
    cleaned: CleanupReport | None = None
    try:
        with follow_progress("events", _count_pending(jobs), jobs.metrics.registry, ("events_exported", "events_dead")):
            report = jobs.exporter.run_pass()
        try:
            if report.is_well:
                cleaned = jobs.cleanup.run()
        finally:  # the export is reported even if the cleanup fails
            _print_report(report, cleaned, as_json=as_json)
    finally:
        jobs.close()
    if signal.SIGINT in received:
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
            help="Serve Prometheus metrics on this address, host:port. "
            "Default: TELEMETRY_GATEWAY_EXPORTER_METRICS_ADDR, else nowhere.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Export, clean up and measure at intervals, until SIGTERM or Ctrl-C.

    After the signal, it takes no new lease, waits up to 10 s for sent events, releases its leases and
    exits with 0. Any number may run on one queue. Logs go to standard error.
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
        raise InvalidSettingsError([(variable, "is not set, so nothing can be exported; set it, or pass --addr")])
    return settings


def _consent(export_mode: str | None) -> Callable[[], ExportPolicy]:
    """Return a function that reads consent and export mode again, so that `telemetry mode off` is obeyed."""
    # Without the export switch, which decides what is queued.
    return lambda: ConsentSettings.load(export_mode=export_mode).export_policy()


def _count_pending(jobs: "ExportJobs") -> int | None:
    """Return the number of events to send; None without a terminal, or if the database fails."""
    if not err.is_terminal:
        return None
    try:
        return jobs.queue.counts().pending
    except RecorderError:  # the pass reports it
        return None


def _stop_on_signals(stop: Callable[[], None]) -> list[int]:
    """Call `stop` after SIGTERM or SIGINT, in a separate thread; return a list that collects received signals.

    Not in the handler: it interrupts the main thread, which may hold the lock that `stop` waits for.
    """
    arrived: SimpleQueue[int] = SimpleQueue()  # its `put` may be called from a signal handler

    def wait() -> None:
        arrived.get()
        stop()

    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        received.append(number)
        arrived.put(number)

    threading.Thread(target=wait, name="telemetry-signals", daemon=True).start()
    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return received


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
