"""`telemetry ingest`: receive events over HTTP, from clients that are not Python backends."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from telemetry.logger import get_logger
from telemetry_cli import packages
from telemetry_cli.log_lines import log_to_stderr
from telemetry_cli.options import DatabaseUrl
from telemetry_cli.output import err
from telemetry_runtime.extras import needs_extra
from telemetry_runtime.settings import InvalidSettingsError

_log = get_logger(__name__)

app = typer.Typer(help="Receive events over HTTP, from clients that are not Python backends.", no_args_is_help=True)

app.add_typer(packages.app, name="packages")


@app.callback()
def callback() -> None:
    """Receive events over HTTP, from clients that are not Python backends."""


@app.command()
def serve(
    listen: Annotated[
        str | None,
        typer.Option(
            help="host:port. Default: TELEMETRY_INGEST_LISTEN_ADDR, else 127.0.0.1:10081.", show_default=False
        ),
    ] = None,
    tokens_file: Annotated[
        Path | None,
        typer.Option(help="The file of accepted tokens. Default: TELEMETRY_INGEST_TOKENS_FILE.", show_default=False),
    ] = None,
    anonymous: Annotated[
        bool | None,
        typer.Option(
            "--anonymous/--no-anonymous",
            help="Whether clients without a token may record. Default: TELEMETRY_INGEST_ANONYMOUS, else no.",
            show_default=False,
        ),
    ] = None,
    cors_origins: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated origins of pages that may record. Default: TELEMETRY_INGEST_CORS_ORIGINS.",
            show_default=False,
        ),
    ] = None,
    collection_file: Annotated[
        Path | None,
        typer.Option(
            help="The file of URLs that accept pings. Default: TELEMETRY_INGEST_COLLECTION_FILE.", show_default=False
        ),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Serve GraphQL (/.api/graphql), pings (routes of packages) and probes (/healthz, /readyz) until SIGTERM or Ctrl-C.

    Prints the address on standard error when clients can connect. Logs go there as well. Events of requests that get a
    response without errors are stored in the database. All other settings (TLS, limits, metrics) are set in the
    environment: see TELEMETRY_INGEST_* in the reference.
    """
    with needs_extra("ingest"):
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an optional part

        from telemetry_cli.serving import Serving, serve_app  # noqa: PLC0415 - needs the same extra
        from telemetry_ingest import IngestSettings, create_app  # noqa: PLC0415 - an optional part
        from telemetry_runtime.metrics_port import serve_metrics  # noqa: PLC0415 - likewise
    log_to_stderr(logging.INFO)
    settings = IngestSettings.load(
        listen_addr=listen,
        tokens_file=tokens_file,
        anonymous=anonymous,
        cors_origins=cors_origins,
        collection_file=collection_file,
        database_url=database_url,
    )
    if settings.tokens_file is None and not settings.anonymous and settings.collection_file is None:
        variable = IngestSettings.variable_of("tokens_file")
        problem = "is not set, so no client could record; set it to a file, or allow all clients with --anonymous"
        raise InvalidSettingsError([(variable, f"{problem}; for pings only, pass --collection-file")])
    registry = CollectorRegistry()
    metrics = None if settings.metrics_addr is None else serve_metrics(registry, settings.metrics_addr)
    if metrics is not None:
        _log.info("metrics served", address=metrics.address)
    try:
        serve_app(
            create_app(settings, registry=registry),
            settings.listen_addr,
            Serving(
                drain_timeout=settings.drain_timeout,
                max_connections=settings.max_connections,
                certificate=settings.certificate,
                trusted_proxies=settings.proxies,
            ),
        )
    finally:
        if metrics is not None:
            metrics.stop()


@app.command()
def token(
    user_id: Annotated[
        int | None,
        typer.Option(min=-(2**63), max=2**63 - 1, help="The user of the events recorded with the token."),
    ] = None,
    site_admin: Annotated[bool, typer.Option("--site-admin", help="Allow access to exported events.")] = False,
    note: Annotated[str, typer.Option(help="The purpose of the token.")] = "",
) -> None:
    """Create a token: print it once on standard error, and its entry for the tokens file on standard output.

    Example: `telemetry ingest token --user-id 7 >> tokens.toml`
    """
    with needs_extra("ingest"):
        from telemetry_ingest.tokens import new_token, tokens_entry  # noqa: PLC0415 - an optional part
    made = new_token()
    typer.echo(tokens_entry(made, user_id=user_id, site_admin=site_admin, note=note), nl=False)
    err.print(f"token: {made}", highlight=False, markup=False, soft_wrap=True)
