"""`telemetry allowlist`: what private metadata may leave."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recorder.settings import RecorderSettings
from telemetry.allowlist import render_allowlist
from telemetry_cli.generated import write_or_check
from telemetry_cli.options import AsJson
from telemetry_cli.output import out, print_json_lines, print_rows

app = typer.Typer(help="The reviewed list of private metadata that may leave.", no_args_is_help=True)

File = Annotated[
    Path | None,
    typer.Option("--file", help="The TOML file. Default: TELEMETRY_ALLOWLIST_FILE.", show_default=False),
]


@app.command()
def check(file: File = None) -> None:
    """Check the file's format and say how many entries hold; for CI."""
    allowlist = RecorderSettings.load(allowlist_file=file).allowlist()
    today = datetime.now(UTC).date()
    expired = [entry for entry in allowlist.entries if not entry.holds_on(today)]
    for entry in expired:
        out.print(f"{entry.origin}: expired on {entry.expires_on}", highlight=False, soft_wrap=True)
    out.print(f"{len(allowlist) - len(expired)} entries hold, {len(expired)} expired", highlight=False)


@app.command("list")
def list_(file: File = None, as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """List the entries, those from the environment included."""
    entries = RecorderSettings.load(allowlist_file=file).allowlist().entries
    if as_json:
        print_json_lines(
            {
                "feature": entry.feature,
                "action": entry.action,
                "keys": dict(entry.keys),
                "approved_by": entry.approved_by,
                "approved_on": entry.approved_on,
                "expires_on": entry.expires_on,
                "origin": entry.origin,
            }
            for entry in entries
        )
        return
    print_rows(
        "Private metadata that may leave",
        ("feature", "action", "keys", "approved by", "expires"),
        (
            (entry.feature, entry.action or "all", ", ".join(entry.keys), entry.approved_by, entry.expires_on)
            for entry in entries
        ),
    )


@app.command()
def docs(
    target: Annotated[Path, typer.Argument(help="The Markdown page to write.")],
    file: File = None,
    check_only: Annotated[bool, typer.Option("--check", help="Write nothing; end with 1 when it is stale.")] = False,  # noqa: FBT002 - an option
) -> None:
    """Write the allowlist as a page that people read, or check that the page is up to date."""
    page = render_allowlist(RecorderSettings.load(allowlist_file=file).allowlist())
    write_or_check(target, page, "telemetry allowlist docs", check_only=check_only)
