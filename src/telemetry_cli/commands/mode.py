"""`telemetry mode`: whether events are recorded and exported, stored in the settings file."""

import os
from pathlib import Path
from typing import Any

import typer

from telemetry import TelemetryMode
from telemetry_cli.options import AsJson
from telemetry_cli.output import print_facts, print_json, print_text, print_warning
from telemetry_runtime.privacy_settings import ConsentSettings
from telemetry_runtime.settings_file import SettingsFileError, read_settings_file, settings_file, write_setting

app = typer.Typer(
    help="Turn telemetry on, restrict it to this instance, or turn it off; stored in the settings file.",
    no_args_is_help=True,
)

_VARIABLE = ConsentSettings.variable_of("telemetry_mode")
_MEANING = {
    TelemetryMode.ON: "Events are recorded, and those that the export mode covers are exported.",
    TelemetryMode.LOCAL: "Events are recorded in event_logs; nothing is queued or sent.",
    TelemetryMode.OFF: "Nothing is recorded, and nothing is sent.",
}


@app.command()
def on(as_json: AsJson = False) -> None:
    """Record events, and export those that the export mode covers."""
    _switch(TelemetryMode.ON, as_json=as_json)


@app.command()
def local(as_json: AsJson = False) -> None:
    """Record events on this instance, and export nothing."""
    _switch(TelemetryMode.LOCAL, as_json=as_json)


@app.command()
def off(as_json: AsJson = False) -> None:
    """Record nothing and export nothing."""
    _switch(TelemetryMode.OFF, as_json=as_json)


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show the mode, the export mode and the opt-outs, with the source of each."""
    facts = _facts()
    if as_json:
        print_json(facts)
        return
    print_facts("Telemetry mode", {name.replace("_", " "): value for name, value in facts.items()})


def _facts() -> dict[str, Any]:
    settings = ConsentSettings.load()
    origins = ConsentSettings.origins()
    policy = settings.export_policy()
    opted_out = policy.opted_out_by
    field = next((name for name in origins if settings.variable_of(name) == opted_out), None)
    return {
        "telemetry_mode": settings.telemetry_mode.value,
        "telemetry_mode_from": origins["telemetry_mode"].value,
        "export_mode": str(policy.export_mode),
        "export_mode_from": origins["export_mode"].value,
        "opted_out_by": opted_out,
        "opted_out_from": None if field is None else origins[field].value,
        "settings_file": settings_file(os.environ),
        "meaning": _MEANING[settings.telemetry_mode],
        "nothing_leaves_because": policy.obstacle,
    }


def _switch(mode: TelemetryMode, *, as_json: bool) -> None:
    path = settings_file(os.environ)
    if path is None:
        raise SettingsFileError(
            "is not set, so the mode cannot be stored. Set it to a file, in the environment of every process "
            f"that records or exports; or set {_VARIABLE}={mode.value} there"
        )
    new = not path.exists()
    if not new:
        read_settings_file(path)  # raises before anything is written if it cannot be read
    write_setting(path, _VARIABLE, mode.value)
    _print_result(mode, path, new=new, as_json=as_json)


def _print_result(mode: TelemetryMode, path: Path, *, new: bool, as_json: bool) -> None:
    facts = _facts()
    if as_json:
        print_json(facts)
    else:
        print_text(f"{_VARIABLE}={mode.value} in {path}")
        if new:
            print_text("The file is new and readable only by its owner: change the owner to the user of the services.")
        print_text(_MEANING[mode])
        print_text(
            "Commands read the file when they start, and running exporters before they send. "
            "Running services read it when they are restarted."
        )
    if facts["telemetry_mode"] != mode.value:
        wins = facts["telemetry_mode"]
        print_warning(
            f"the environment sets {_VARIABLE}={wins}, which overrides the file: in this environment, "
            f"the mode is {wins}, not {mode.value}. Remove {_VARIABLE} from the environment"
        )
        raise typer.Exit(1)
    if mode is TelemetryMode.ON and facts["nothing_leaves_because"] is not None:
        print_warning(f"nothing is exported, because {facts['nothing_leaves_because']}")
