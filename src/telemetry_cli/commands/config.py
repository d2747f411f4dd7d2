"""`telemetry config`: the settings of every program, and the source of each."""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import typer
from rich.text import Text

from telemetry_cli.masking import shown
from telemetry_cli.options import AsJson, DatabaseUrl, ExportAddress, ExportModeOption
from telemetry_cli.output import out, print_json_lines, print_warning
from telemetry_cli.programs import programs, unknown_names
from telemetry_runtime.settings import EnvironmentSettings, InvalidSettingsError, Origin

app = typer.Typer(help="Show all settings, and where each value comes from.", no_args_is_help=True)


class Setting(NamedTuple):
    """A setting of a program.

    Attributes:
        program: The first program that reads it.
        variable: Its name.
        value: Its value as text, masked if it is secret; None if it is not set.
        origin: The source of the value.
    """

    program: str
    variable: str
    value: str | None
    origin: str


@app.callback()
def callback() -> None:
    """Show all settings, and where each value comes from."""


@app.command()
def show(
    changed: Annotated[bool, typer.Option("--changed", help="Omit settings with their default value.")] = False,
    addr: ExportAddress = None,
    export_mode: ExportModeOption = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting of every program, and where its value comes from.

    The sources are, in this order: arguments, the environment, the settings file (TELEMETRY_SETTINGS_FILE)
    and the defaults. Secrets are masked. Unknown names, such as typos, cause a warning.
    """
    arguments = {"database_url": database_url, "export_mode": export_mode, "export_addr": addr}
    faults: list[tuple[str, str]] = []
    listed: set[str] = set()
    settings: list[Setting] = []
    for program, kind in programs().items():
        try:
            found = _settings(program, kind, arguments)
        except InvalidSettingsError as error:
            faults += [fault for fault in error.faults if fault not in faults]
            continue
        settings += [setting for setting in found if setting.variable not in listed]
        listed.update(setting.variable for setting in found)
    if changed:
        settings = [setting for setting in settings if setting.origin != Origin.DEFAULT.value]
    if as_json:
        print_json_lines(setting._asdict() for setting in settings)
    else:
        _print(settings)
    for name in unknown_names():
        print_warning(str(name))
    if faults:
        raise InvalidSettingsError(faults)


def _settings(program: str, kind: type[EnvironmentSettings], given: dict[str, str | None]) -> list[Setting]:
    arguments = {name: value for name, value in given.items() if name in kind.model_fields}
    loaded = kind.load(**arguments)
    origins = kind.origins(**arguments)
    return [
        Setting(program, kind.variable_of(field), shown(getattr(loaded, field)), origins[field].value)
        for field in kind.model_fields
    ]


def _print(settings: list[Setting]) -> None:
    """Print settings in the format of the settings file, so that they can be copied into it."""
    for line in _lines(settings):
        out.print(line, soft_wrap=True)


def _lines(settings: list[Setting]) -> Iterator[Text]:
    program = ""
    for setting in settings:
        if setting.program != program:
            program = setting.program
            yield Text(f"# {program}", style="bold")
        line = Text(f"{setting.variable}={setting.value}" if setting.value is not None else f"# {setting.variable}=")
        yield line.append(f"  # {setting.origin}" if setting.value is not None else "  not set", style="dim")
