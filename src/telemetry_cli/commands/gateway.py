"""`telemetry gateway`: run and check a gateway."""

import asyncio
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from telemetry_cli.commands import rejects
from telemetry_cli.log_lines import log_to_stderr
from telemetry_cli.options import AsJson
from telemetry_cli.output import err, print_json_lines, print_rows
from telemetry_gateway.settings import GatewaySettings, SinkKind

app = typer.Typer(
    help="Run and check a gateway, which receives events from exporters and publishes them to a sink.",
    no_args_is_help=True,
)


app.add_typer(rejects.app, name="rejects")


@app.callback()
def callback() -> None:
    """Run and check a gateway, which receives events from exporters and publishes them to a sink."""


@app.command()
def serve(
    listen: Annotated[
        str | None,
        typer.Option(
            help="host:port. Default: TELEMETRY_GATEWAY_LISTEN_ADDR, else 127.0.0.1:10080.", show_default=False
        ),
    ] = None,
    sink: Annotated[
        SinkKind | None, typer.Option(help="The sink to publish to. Default: jsonl.", show_default=False)
    ] = None,
    sink_file: Annotated[
        Path | None,
        typer.Option(help="The file of the sink jsonl. Default: telemetry-events.jsonl.", show_default=False),
    ] = None,
    deduplication_file: Annotated[
        Path | None,
        typer.Option(help="SQLite file of published ids. Default: telemetry-gateway.db.", show_default=False),
    ] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; acknowledge events when the sink holds them durably.

    Prints the address on standard error when clients can connect. Logs go there as well. All other settings
    (TLS, tokens, limits) are set in the environment: see TELEMETRY_GATEWAY_* in the reference.
    """
    from telemetry_gateway import serve as serve_gateway  # noqa: PLC0415 - an optional part

    log_to_stderr(logging.INFO)
    settings = GatewaySettings.load(
        listen_addr=listen, sink=sink, sink_file=sink_file, deduplication_file=deduplication_file
    )

    def ready(address: str) -> None:
        err.print(f"listening on {address}", highlight=False)

    asyncio.run(serve_gateway(settings, on_ready=ready))


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check everything that a gateway needs before it is started; ends with 1 if a check fails.

    Prints a line for each of settings, addresses, certificate, sink, files and token authorities, with what to
    do. Missing files and a missing JetStream stream are created, as at start. While a gateway runs, its
    address and its jsonl file are reported as in use.
    """
    from telemetry_gateway import check_gateway  # noqa: PLC0415 - an optional part

    checks = list(check_gateway(GatewaySettings.load()))
    if as_json:
        print_json_lines(asdict(each) for each in checks)
    else:
        print_rows(
            "Gateway",
            ("check", "", "found"),
            ((each.name, "ok" if each.ok else "FAILED", each.found) for each in checks),
        )
    if not all(each.ok for each in checks):
        raise typer.Exit(1)
