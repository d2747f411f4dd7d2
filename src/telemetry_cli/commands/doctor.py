"""`telemetry doctor`: check an instance, and print what to do for each problem."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from export.settings import ExporterSettings
from recorder.settings import RecorderSettings
from telemetry_cli.options import AsJson, DatabaseUrl, ExportAddress, ExportModeOption
from telemetry_cli.output import out, print_json
from telemetry_cli.programs import unknown_names
from telemetry_runtime.extras import needs_extra
from telemetry_runtime.settings import InvalidSettingsError
from telemetry_store.errors import RecorderError

if TYPE_CHECKING:
    from export.checks import Check

_FAIL = "fail"
_STYLES = {"ok": "green", "warn": "yellow", _FAIL: "bold red"}


def doctor(
    addr: ExportAddress = None,
    export_mode: ExportModeOption = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that recording and export need, and print what to do for each problem.

    Prints a line for each check: settings, mode, allowlist, database, tables, clocks, disk, backlog, dead
    letters, the gateway and its certificate, credentials. Changes nothing and sends no events. Ends with 1
    if a check fails.
    """
    failed = False
    for check in _checks(addr, export_mode=export_mode, database_url=database_url):
        failed = failed or check.level.value == _FAIL
        if as_json:
            print_json({**asdict(check), "level": check.level.value})
        else:
            _print(check)
    if failed:
        raise typer.Exit(1)


def _checks(addr: str | None, **arguments: str | None) -> Iterator["Check"]:
    with needs_extra("export"):
        from export.checks import check_instance, fail, ok, warn  # noqa: PLC0415 - an optional part
    faults: dict[str, str] = {}  # by variable, because the two programs share most of them
    settings: ExporterSettings | None = None
    try:
        settings = ExporterSettings.load(export_addr=addr, **arguments)
    except InvalidSettingsError as error:
        faults.update(error.faults)
    try:
        RecorderSettings.load(**arguments)  # settings that only recorders read
    except InvalidSettingsError as error:
        faults.update(error.faults)
    for variable, problem in faults.items():
        yield fail("settings", f"{variable}: {problem}", "correct the setting; see: telemetry config show")
    if settings is None:
        return
    unknown = list(unknown_names())
    for name in unknown:
        yield warn("settings", str(name), "correct the name, or remove it")
    if not unknown and not faults:
        yield ok("settings", "all are valid")
    try:
        yield from check_instance(settings, today=datetime.now(UTC).date())
    except RecorderError as error:
        yield fail("settings", str(error), "correct the setting; see: telemetry config show")


def _print(check: "Check") -> None:
    line = Text(f"{check.level.value:<5}", style=_STYLES[check.level.value])
    line.append(f"{check.name:<13}", style="bold")
    line.append(check.found, style="default")
    if check.advice is not None:
        line.append(f" -> {check.advice}", style="default")
    out.print(line, soft_wrap=True)
