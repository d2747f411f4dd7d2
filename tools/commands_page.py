"""Render the reference of the commands from the command line itself."""

import textwrap
from typing import Final

import typer
from typer.cli import get_docs_for_click

from telemetry_cli.main import make_app

_LONGEST: Final = 130
_HEAD: Final = """\
# Commands

Generated from the code by `make docs`; do not edit. Every command says the same with `--help`.
"""


def render_commands() -> str:
    """Return the page."""
    command = typer.main.get_command(make_app())
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="telemetry"), name="telemetry")
    # The page's title is its only heading of the first level.
    lines = [f"#{line}" if line.startswith("#") else _filled(line.rstrip()) for line in text.splitlines()]
    return _HEAD + "\n" + "\n".join(lines).strip() + "\n"


def _filled(line: str) -> str:
    """Return a long line as several, so that the page can be read as source; tables and commands stay as they are."""
    if len(line) <= _LONGEST or line.startswith(("|", "$", "!", "<")):
        return line
    indent = "  " if line.startswith("* ") else ""
    return textwrap.fill(line, _LONGEST, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
