"""Options that several commands share."""

from typing import Annotated

import typer

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="A SQLAlchemy URL. Default: TELEMETRY_DATABASE_URL, else sqlite:///telemetry.db.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="The maximum number of rows to print.")]
ExportAddress = Annotated[
    str | None,
    typer.Option(
        "--addr",
        help="The address of the gateway, https://host:port. Default: TELEMETRY_GATEWAY_EXPORTER_EXPORT_ADDR.",
        show_default=False,
    ),
]
ExportModeOption = Annotated[
    str | None,
    typer.Option(
        "--export-mode",
        help="none, all, or feature prefixes separated by commas. Default: TELEMETRY_EXPORT_MODE, else none.",
        show_default=False,
    ),
]
