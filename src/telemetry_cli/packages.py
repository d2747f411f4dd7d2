"""`telemetry ingest packages`: the URLs that accept pings, and the variables of a ping that are kept."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from telemetry_cli.options import AsJson
from telemetry_cli.output import out, print_error, print_facts, print_json, print_json_lines, print_rows
from telemetry_runtime.extras import needs_extra
from telemetry_runtime.settings import InvalidSettingsError

if TYPE_CHECKING:
    from telemetry_ingest.collection import CollectionPackage

app = typer.Typer(help="The reviewed list of URLs that accept pings from anyone.", no_args_is_help=True)

File = Annotated[
    Path | None,
    typer.Option("--file", help="The TOML file. Default: TELEMETRY_INGEST_COLLECTION_FILE.", show_default=False),
]


@app.command()
def check(file: File = None) -> None:
    """Check the format of the file, and print the number of packages; for CI."""
    out.print(f"{len(_load(file))} packages", highlight=False)


@app.command("list")
def list_(file: File = None, as_json: AsJson = False) -> None:
    """List the packages, with the variables of a ping that are kept."""
    packages = _load(file)
    if as_json:
        print_json_lines(
            {
                "name": package.name,
                "route": package.route.text,
                "feature": package.feature,
                "action": package.action,
                "variables": dict(package.variables),
                "approved_by": package.approved_by,
                "approved_on": package.approved_on,
                "origin": package.origin,
            }
            for package in packages
        )
        return
    print_rows(
        "Event collection packages",
        ("package", "route", "event", "kept"),
        (
            (
                package.name,
                package.route.text,
                f"{package.feature} {package.action}",
                ", ".join(package.variables),
            )
            for package in packages
        ),
    )


@app.command("try")
def try_(
    url: Annotated[str, typer.Argument(help="The URL of the ping, or its path and query.")],
    body: Annotated[str, typer.Option(help="A JSON body.")] = "",
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Show what would be recorded for a ping, without sending it; ends with 1 if no route matches.

    The service responds with 204 to every ping, so use this command to find mistakes in a URL.
    """
    packages = _load(file)
    from telemetry_ingest.collection import KeptVariables, RouteTable  # noqa: PLC0415 - an optional part, which is there

    parts = urlsplit(url)
    found = RouteTable([(package.route, package) for package in packages]).match(parts.path or "/")
    if found is None:
        print_error("no route of a package matches this path, so the ping would be ignored")
        raise typer.Exit(1)
    package, path = found
    reading = KeptVariables(package.variables).read(path, parts.query, os.fsencode(body))
    facts = {
        "package": package.name,
        "feature": package.feature,
        "action": package.action,
        "kept": dict(reading.kept),
        "undeclared": reading.undeclared,
        "unstorable": reading.unstorable,
        "whole_body": reading.whole_body,
    }
    if as_json:
        print_json(facts)
    else:
        print_facts("What would be recorded", facts)


def _load(file: Path | None) -> "list[CollectionPackage]":
    with needs_extra("ingest"):
        from telemetry_ingest import IngestSettings  # noqa: PLC0415 - an optional part
        from telemetry_ingest.collection import read_packages  # noqa: PLC0415 - the same
    settings = IngestSettings.load(collection_file=file)
    if settings.collection_file is None:
        raise InvalidSettingsError(
            [(IngestSettings.variable_of("collection_file"), "is not set; set it to a file, or pass --file")]
        )
    return read_packages(settings.collection_file)
