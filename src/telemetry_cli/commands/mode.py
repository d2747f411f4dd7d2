"""`telemetry mode`: whether events are recorded and may leave, kept in the settings file."""

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
    help="Switch telemetry on, keep it local, or switch it off; kept in the settings file.", no_args_is_help=True
)

_VARIABLE = ConsentSettings.variable_of("telemetry_mode")
_MEANING = {
    TelemetryMode.ON: "Events are recorded, and those that the export mode covers may leave.",
    TelemetryMode.LOCAL: "Events are recorded into event_logs; nothing is queued or sent.",
    TelemetryMode.OFF: "Nothing is recorded, and nothing is sent.",
}


@app.command()
def on(as_json: AsJson = False) -> None:
    """Record events, and let leave what the export mode covers."""
    _switch(TelemetryMode.ON, as_json=as_json)


@app.command()
def local(as_json: AsJson = False) -> None:
    """Record events on this instance, and let none leave."""
    _switch(TelemetryMode.LOCAL, as_json=as_json)


@app.command()
def off(as_json: AsJson = False) -> None:
    """Record nothing and send nothing."""
    _switch(TelemetryMode.OFF, as_json=as_json)


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show the mode, the export mode and the opt-outs, and which source decides each."""
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
            "is not set, so there is nowhere to keep the mode. Let it name a file, in the environment of every process "
            f"that records or exports; or set {_VARIABLE}={mode.value} there"
        )
    new = not path.exists()
    if not new:
        read_settings_file(path)  # what cannot be read is told before anything is written
    write_setting(path, _VARIABLE, mode.value)
    _tell(mode, path, new=new, as_json=as_json)


def _tell(mode: TelemetryMode, path: Path, *, new: bool, as_json: bool) -> None:
    facts = _facts()
    if as_json:
        print_json(facts)
    else:
        print_text(f"{_VARIABLE}={mode.value} in {path}")
        if new:
            print_text("The file is new. Its owner alone can read it: give it to the user that the services run as.")
        print_text(_MEANING[mode])
        print_text(
            "Commands read it when they start, and exporters that run before they send: from now on they go by it. "
            "Services that run read it when they start anew."
        )
    if facts["telemetry_mode"] != mode.value:
        wins = facts["telemetry_mode"]
        print_warning(
            f"the environment sets {_VARIABLE}={wins}, and it wins over the file: where it is set so, "
            f"the mode is {wins}, not {mode.value}. Take {_VARIABLE} out of the environment"
        )
        raise typer.Exit(1)
    if mode is TelemetryMode.ON and facts["nothing_leaves_because"] is not None:
        print_warning(f"nothing leaves all the same: {facts['nothing_leaves_because']}")
