"""Files that commands write from something else, and can find stale."""

from pathlib import Path

import typer

from telemetry_cli.output import out, print_error


def write_or_check(target: Path, text: str, command: str, *, check_only: bool) -> None:
    """Writes a generated file; or, where it is only to be checked, ends with 1 when it is stale."""
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
    except (OSError, UnicodeDecodeError):  # whatever stands there, it is not this text
        stale = True
    if stale:
        print_error(f"{target} is stale; run: {command} {target}")
        raise typer.Exit(1)
