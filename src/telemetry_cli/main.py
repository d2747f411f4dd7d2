"""The command `telemetry`: record events, inspect them, and run the jobs that export and receive them."""

import importlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any, Final, NamedTuple

import typer

from telemetry import TelemetryError
from telemetry_cli.log_lines import log_to_stderr
from telemetry_cli.output import print_error
from telemetry_runtime.extras import MissingExtraError

EXIT_FAILED = 1
EXIT_WRONG_USE = 2


class Command(NamedTuple):
    """A command as listed in the help, without loading its module.

    Attributes:
        module: The module with a function of the command's name, or with the `app` of its subcommands.
        summary: The first paragraph of its help.
    """

    module: str
    summary: str


COMMANDS: Final = {
    "record": Command("telemetry_cli.commands.record", "Record one event, durably, and print its id."),
    "audit": Command(
        "telemetry_cli.commands.audit",
        "Check that every recorded event is accounted for; ends with 1 if events are missing, and prints where.",
    ),
    "cleanup": Command(
        "telemetry_cli.commands.cleanup",
        "Delete exported events past their retention, and old rows of event_logs if a retention is set.",
    ),
    "doctor": Command(
        "telemetry_cli.commands.doctor",
        "Check everything that recording and export need, and print what to do for each problem.",
    ),
    "db": Command("telemetry_cli.commands.db", "Create and migrate the tables."),
    "export": Command("telemetry_cli.commands.export", "Send the events that are due, or show what would be sent."),
    "exported": Command("telemetry_cli.commands.exported", "Show exported events."),
    "queue": Command("telemetry_cli.commands.queue", "Show events waiting to be exported, and retry delayed ones."),
    "dead": Command(
        "telemetry_cli.commands.dead", "Show dead letters with their reasons, requeue them, or delete them."
    ),
    "allowlist": Command(
        "telemetry_cli.commands.allowlist", "The reviewed list of private metadata that may be exported."
    ),
    "catalog": Command(
        "telemetry_cli.commands.catalog",
        "The catalogue of events: compare it with the code, generate pages and helpers.",
    ),
    "mode": Command(
        "telemetry_cli.commands.mode",
        "Turn telemetry on, restrict it to this instance, or turn it off; stored in the settings file.",
    ),
    "config": Command("telemetry_cli.commands.config", "Show all settings, and where each value comes from."),
    "gateway": Command(
        "telemetry_cli.commands.gateway",
        "Run and check a gateway, which receives events from exporters and publishes them to a sink.",
    ),
    "ingest": Command(
        "telemetry_cli.commands.ingest", "Receive events over HTTP, from clients that are not Python backends."
    ),
    "admin": Command(
        "telemetry_cli.commands.admin",
        "Serve the web page for operators: recorded events, queue, dead letters, exported events.",
    ),
}
"""In the order of the help. A test compares the summaries with the help texts of the modules."""


def make_app(arguments: Sequence[str] | None = None) -> typer.Typer:
    """Return the command line, with all commands, or with those that the arguments need.

    Loading modules takes most of the time of a short command. So only the command that the arguments begin with is
    loaded. If they do not begin with a command, all commands are present with name and summary only.

    Args:
        arguments: The arguments that the command line will run with; None to load all commands.

    Raises:
        ModuleNotFoundError: The extra `cli` is installed only in part.
    """
    app = typer.Typer(
        name="telemetry",
        epilog="Exit codes: 0 success; 1 failure (of a database or gateway, or events are left); "
        "2 invalid input (arguments, settings, an invalid event); 130 interrupted by Ctrl-C.",
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_telemetry)
    named = arguments[0] if arguments else ""
    for name in (named,) if named in COMMANDS else COMMANDS:
        if arguments is None or name == named:
            _add(app, name)
        else:
            app.command(name, help=COMMANDS[name].summary)(_not_loaded)
    return app


def _add(app: typer.Typer, name: str) -> None:
    module: Any = importlib.import_module(COMMANDS[name].module)
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name)
    else:
        app.command(name)(getattr(module, name))


def _not_loaded() -> None:
    """Be listed in the help. Never called: a command in the arguments is loaded."""


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - an option's callback
    if wanted:
        typer.echo(f"telemetry {metadata.version('telemetry-recorder')}")
        raise typer.Exit


def _telemetry(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Record telemetry events, export them to a gateway, and inspect what is exported."""


def needed_arguments(arguments: Sequence[str]) -> Sequence[str] | None:
    """Return the arguments for `make_app`; None if a shell requests completions."""
    return None if "_TELEMETRY_COMPLETE" in os.environ else arguments


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. An error of ours is printed on one line, without a traceback, and sets the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    run(make_app(needed_arguments(given)), given)


def run(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Run a loaded command line, as `main` does."""
    log_to_stderr()
    try:
        app(args=list(arguments))
    except MissingExtraError as error:
        print_error(str(error))
        sys.exit(EXIT_WRONG_USE)
    except TelemetryError as error:
        print_error(str(error))
        # All invalid input is a `ValueError`, but not all is an `InvalidInputError`: an invalid database URL belongs to
        # the errors of the store.
        sys.exit(EXIT_WRONG_USE if isinstance(error, ValueError) else EXIT_FAILED)


if __name__ == "__main__":
    main()
