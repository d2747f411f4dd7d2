"""Generated files: write them, or check that they are up to date."""

from pathlib import Path

import typer

from telemetry_cli.output import out, print_error


def write_or_check(target: Path, text: str, command: str, *, check_only: bool) -> None:
    """Write a generated file; with `check_only`, exit with 1 if it is out of date."""
    if not check_only:
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            print_error(f"{target} cannot be written: {error.strerror}")
            raise typer.Exit(1) from None
        out.print(f"wrote {target}", highlight=False, markup=False, soft_wrap=True)
        return
    try:
        stale = target.read_text(encoding="utf-8") != text
    except (OSError, UnicodeDecodeError):  # whatever the file contains, it is not this text
        stale = True
    if stale:
        print_error(f"{target} is out of date; run: {command} {target}")
        raise typer.Exit(1)
