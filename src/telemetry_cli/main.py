"""The command `telemetry`: what is recorded, what would leave, what left; and the jobs that move it."""

import sys
from collections.abc import Sequence

import typer

from telemetry import InvalidInputError, TelemetryError
from telemetry_cli import (
    admin,
    allowlist,
    audit,
    catalog,
    cleanup,
    config,
    database,
    dead,
    doctor,
    export,
    exported,
    gateway,
    ingest,
    mode,
    queue,
    record,
)
from telemetry_cli.output import log_to_stderr, print_error

EXIT_FAILED = 1
EXIT_WRONG_USE = 2

app = typer.Typer(
    name="telemetry",
    help="Record telemetry events, export them to a gateway, and see what leaves.",
    epilog="Exit codes: 0 done; 1 it did not work (a database or gateway failed, events are left); "
    "2 wrong use (arguments, settings, an event that breaks a rule); 130 ended by Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("record")(record.record)
app.command("audit")(audit.audit)
app.command("cleanup")(cleanup.cleanup)
app.command("doctor")(doctor.doctor)
app.add_typer(database.app, name="db")
app.add_typer(export.app, name="export")
app.add_typer(exported.app, name="exported")
app.add_typer(queue.app, name="queue")
app.add_typer(dead.app, name="dead")
app.add_typer(allowlist.app, name="allowlist")
app.add_typer(catalog.app, name="catalog")
app.add_typer(mode.app, name="mode")
app.add_typer(config.app, name="config")
app.add_typer(gateway.app, name="gateway")
app.add_typer(ingest.app, name="ingest")
app.add_typer(admin.app, name="admin")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a user's mistake ends in one clear line and an exit code, not in a traceback."""
    log_to_stderr()
    try:
        app(args=None if arguments is None else list(arguments))
    except InvalidInputError as error:
        print_error(str(error))
        sys.exit(EXIT_WRONG_USE)
    except TelemetryError as error:
        print_error(str(error))
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
