"""The reference of the command line, from the command line."""

from typing import Final

import typer
from typer.cli import get_docs_for_click

from telemetry_cli.main import make_app

_HEAD: Final = """\
# Commands

Generated from the code by `make docs`; do not edit. Every command says the same with `--help`.
"""


def render_commands() -> str:
    """Returns the page."""
    command = typer.main.get_command(make_app())
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="telemetry"), name="telemetry")
    # The page has one heading of the first level, its own.
    lines = [f"#{line}" if line.startswith("#") else line.rstrip() for line in text.splitlines()]
    return _HEAD + "\n" + "\n".join(lines).strip() + "\n"
