"""`telemetry catalog`: compare the catalogue of events with the code, generate pages and helpers."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recorder.settings import RecorderSettings
from telemetry import Catalog
from telemetry_catalog import compare, generate_helpers, read_code, render_catalog
from telemetry_cli.generated import write_or_check
from telemetry_cli.options import AsJson
from telemetry_cli.output import out, print_json_lines, print_rows
from telemetry_runtime.settings import InvalidSettingsError

app = typer.Typer(
    help="The catalogue of events: compare it with the code, generate pages and helpers.", no_args_is_help=True
)

File = Annotated[
    Path | None, typer.Option("--file", help="The TOML file. Default: TELEMETRY_CATALOG_FILE.", show_default=False)
]
Places = Annotated[list[Path], typer.Argument(help="Python files, or folders with Python files.", metavar="CODE...")]
CheckOnly = Annotated[bool, typer.Option("--check", help="Write nothing; end with 1 if the file is out of date.")]


@app.command()
def check(places: Places, file: File = None, as_json: AsJson = False) -> None:
    """Find events in the code that are not in the catalogue, and entries that the code does not record; for CI.

    The code is parsed, not run. Ends with 1 if a problem is found; deprecated events are only listed.
    """
    catalog = _load(file)
    code = read_code(places)
    findings = compare(catalog, code)
    if as_json:
        print_json_lines({**asdict(finding), "kind": finding.kind.value} for finding in findings)
    else:
        for finding in findings:
            out.print(f"{finding.place}: {finding.problem}", highlight=False, markup=False, soft_wrap=True)
        out.print(f"{len(catalog)} events in the catalogue, {len(code.calls)} calls, {len(findings)} findings")
    if any(finding.fails for finding in findings):
        raise typer.Exit(1)


@app.command("list")
def list_(file: File = None, as_json: AsJson = False) -> None:
    """List the events."""
    entries = _load(file).entries
    if as_json:
        print_json_lines(asdict(entry) for entry in entries)
        return
    print_rows(
        "Events",
        ("feature", "action", "owner", "metadata", "private"),
        (
            (entry.feature, entry.action, entry.owner, ", ".join(entry.metadata), ", ".join(entry.private_metadata))
            for entry in entries
        ),
    )


@app.command()
def docs(
    target: Annotated[Path, typer.Argument(help="The Markdown page to write.")],
    file: File = None,
    check_only: CheckOnly = False,
) -> None:
    """Write the catalogue as a Markdown page, or check that the page is up to date."""
    write_or_check(target, render_catalog(_load(file)), "telemetry catalog docs", check_only=check_only)


@app.command()
def generate(
    target: Annotated[Path, typer.Argument(help="The Python file to write.")],
    file: File = None,
    check_only: CheckOnly = False,
) -> None:
    """Write a function for each event, for completion in editors and for type checkers."""
    write_or_check(target, generate_helpers(_load(file)), "telemetry catalog generate", check_only=check_only)


def _load(file: Path | None) -> Catalog:
    catalog = RecorderSettings.load(catalog_file=file).catalog()
    if catalog is None:
        variable = RecorderSettings.variable_of("catalog_file")
        raise InvalidSettingsError([(variable, "is not set, so there is no catalogue; set it, or pass --file")])
    return catalog
