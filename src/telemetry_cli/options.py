"""Options that several commands share."""

from typing import Annotated

import typer

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="A SQLAlchemy URL. Default: TELEMETRY_DATABASE_URL, else sqlite:///telemetry.db.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="The most rows to print.")]
