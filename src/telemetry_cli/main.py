"""The command `telemetry`: what is recorded, what would leave, what left; and the jobs that move it."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer

from telemetry import TelemetryError
from telemetry_cli.log_lines import log_to_stderr
from telemetry_cli.output import print_error

EXIT_FAILED = 1
EXIT_WRONG_USE = 2

# The module of each command, in the order of the help: its function of the same name, or its `app` of subcommands.
_MODULES: Final = {
    "record": "telemetry_cli.commands.record",
    "audit": "telemetry_cli.commands.audit",
    "cleanup": "telemetry_cli.commands.cleanup",
    "doctor": "telemetry_cli.commands.doctor",
    "db": "telemetry_cli.commands.db",
    "export": "telemetry_cli.commands.export",
    "exported": "telemetry_cli.commands.exported",
    "queue": "telemetry_cli.commands.queue",
    "dead": "telemetry_cli.commands.dead",
    "allowlist": "telemetry_cli.commands.allowlist",
    "catalog": "telemetry_cli.commands.catalog",
    "mode": "telemetry_cli.commands.mode",
    "config": "telemetry_cli.commands.config",
    "gateway": "telemetry_cli.commands.gateway",
    "ingest": "telemetry_cli.commands.ingest",
    "admin": "telemetry_cli.commands.admin",
}


def make_app(arguments: Sequence[str] = ()) -> typer.Typer:
    """Returns the command line, with the one command that the arguments begin with, or with all.

    Loading takes most of a short command's time, and no command needs what all others load.
    """
    app = typer.Typer(
        name="telemetry",
        epilog="Exit codes: 0 done; 1 it did not work (a database or gateway failed, events are left); "
        "2 wrong use (arguments, settings, an event that breaks a rule); 130 ended by Ctrl-C.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_telemetry)
    named = arguments[0] if arguments else ""
    for name in (named,) if named in _MODULES else _MODULES:
        module: Any = importlib.import_module(_MODULES[name])
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def _telemetry() -> None:
    """Record telemetry events, export them to a gateway, and see what leaves."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a user's mistake ends in one clear line and an exit code, not in a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    run(make_app(given), given)


def run(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Runs a command line that is loaded, as `main` does."""
    log_to_stderr()
    try:
        app(args=list(arguments))
    except TelemetryError as error:
        print_error(str(error))
        # By the kind of all bad input, not by `InvalidInputError` alone: a database URL that cannot be used is a wrong
        # setting, and belongs to the errors of the store.
        sys.exit(EXIT_WRONG_USE if isinstance(error, ValueError) else EXIT_FAILED)


if __name__ == "__main__":
    main()
