"""`telemetry allowlist`: the private metadata that may be exported."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recorder.settings import RecorderSettings
from telemetry.allowlist import render_allowlist
from telemetry_cli.generated import write_or_check
from telemetry_cli.options import AsJson
from telemetry_cli.output import print_json, print_json_lines, print_rows, print_text

app = typer.Typer(help="The reviewed list of private metadata that may be exported.", no_args_is_help=True)

File = Annotated[
    Path | None,
    typer.Option("--file", help="The TOML file. Default: TELEMETRY_ALLOWLIST_FILE.", show_default=False),
]


@app.command()
def check(
    file: File = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 if an entry is expired.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the format of the file, and print the number of valid entries; for CI.

    An expired entry allows nothing: the events that it matches are exported without private metadata.
    """
    entries = RecorderSettings.load(allowlist_file=file).allowlist().entries
    today = datetime.now(UTC).date()
    expired = [entry for entry in entries if not entry.is_valid_on(today)]
    if as_json:
        print_json({"hold": len(entries) - len(expired), "expired": [entry.origin for entry in expired]})
    else:
        for entry in expired:
            print_text(f"{entry.origin}: expired on {entry.expires_on}")
        print_text(f"valid entries: {len(entries) - len(expired)}, expired: {len(expired)}")
    if strict and expired:
        raise typer.Exit(1)


@app.command("list")
def list_(file: File = None, as_json: AsJson = False) -> None:
    """List the entries, including those from the environment."""
    entries = RecorderSettings.load(allowlist_file=file).allowlist().entries
    today = datetime.now(UTC).date()
    if as_json:
        print_json_lines(
            {
                "feature": entry.feature,
                "action": entry.action,
                "keys": dict(entry.keys),
                "approved_by": entry.approved_by,
                "approved_on": entry.approved_on,
                "expires_on": entry.expires_on,
                "holds": entry.is_valid_on(today),
                "origin": entry.origin,
            }
            for entry in entries
        )
        return
    print_rows(
        "Private metadata that may be exported",
        ("feature", "action", "keys", "approved by", "expires", "from"),
        (
            (
                entry.feature,
                entry.action or "all",
                ", ".join(entry.keys),
                entry.approved_by,
                entry.expires_on if entry.is_valid_on(today) else f"expired on {entry.expires_on}",
                entry.origin,
            )
            for entry in entries
        ),
    )


@app.command()
def docs(
    target: Annotated[Path, typer.Argument(help="The Markdown page to write.")],
    file: File = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 1 if the page is out of date.")
    ] = False,
) -> None:
    """Write the allowlist as a Markdown page, or check that the page is up to date."""
    page = render_allowlist(RecorderSettings.load(allowlist_file=file).allowlist())
    write_or_check(target, page, "telemetry allowlist docs", check_only=check_only)
