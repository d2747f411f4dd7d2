"""`telemetry admin`: the web page for operators."""

import logging
from typing import Annotated

import typer

from telemetry_cli.log_lines import log_to_stderr
from telemetry_cli.options import DatabaseUrl
from telemetry_runtime.extras import needs_extra

app = typer.Typer(
    help="Serve the web page for operators: recorded events, queue, dead letters, exported events.",
    no_args_is_help=True,
)


@app.callback()
def callback() -> None:
    """Serve the web page for operators: recorded events, queue, dead letters, exported events."""


@app.command()
def serve(
    listen: Annotated[
        str | None,
        typer.Option(help="host:port. Default: TELEMETRY_ADMIN_LISTEN_ADDR, else 127.0.0.1:10090.", show_default=False),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Serve the page until SIGTERM or Ctrl-C; only on this machine, unless a token is set.

    Prints the address on standard error when browsers can connect. Logs go there as well. The token and
    all other settings (names, TLS) are set in the environment: see TELEMETRY_ADMIN_* in the reference.
    """
    with needs_extra("admin"):
        from telemetry_admin import AdminSettings, app_from_settings  # noqa: PLC0415 - an optional part
        from telemetry_cli.serving import Serving, serve_app  # noqa: PLC0415 - likewise
    log_to_stderr(logging.INFO)
    settings = AdminSettings.load(listen_addr=listen, database_url=database_url)
    serve_app(
        app_from_settings(settings),
        settings.listen_addr,
        Serving(certificate=settings.certificate, trusted_proxies=settings.proxies),
    )
