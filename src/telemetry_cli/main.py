"""The command `telemetry`: what is recorded, what would leave, what left; and the jobs that move it."""

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
    """A command as the list of commands shows it, before its module is loaded.

    Attributes:
        module: Holds a function of the command's name, or the `app` of its subcommands.
        summary: The first paragraph of its help.
    """

    module: str
    summary: str


COMMANDS: Final = {
    "record": Command("telemetry_cli.commands.record", "Record one event, durably, and print its id."),
    "audit": Command(
        "telemetry_cli.commands.audit",
        "Add up what was recorded and what became of it; ends with 1 where something is missing, and says where.",
    ),
    "cleanup": Command(
        "telemetry_cli.commands.cleanup",
        "Delete exported events past their retention, and old rows of event_logs where a retention is set.",
    ),
    "doctor": Command(
        "telemetry_cli.commands.doctor",
        "Look at everything that recording and exporting need: a line each, with what to do where it is not ok.",
    ),
    "db": Command("telemetry_cli.commands.db", "Make and migrate the tables."),
    "export": Command("telemetry_cli.commands.export", "Send what is due, or show what would be sent."),
    "exported": Command("telemetry_cli.commands.exported", "See what has left."),
    "queue": Command("telemetry_cli.commands.queue", "See what waits to be exported, and make it due."),
    "dead": Command(
        "telemetry_cli.commands.dead", "Events that were set aside: see why, send them again, or delete them."
    ),
    "allowlist": Command("telemetry_cli.commands.allowlist", "The reviewed list of private metadata that may leave."),
    "catalog": Command(
        "telemetry_cli.commands.catalog",
        "The catalogue of events: hold it against the code, write pages and helpers.",
    ),
    "mode": Command(
        "telemetry_cli.commands.mode",
        "Switch telemetry on, keep it local, or switch it off; kept in the settings file.",
    ),
    "config": Command("telemetry_cli.commands.config", "See all settings, and where each comes from."),
    "gateway": Command(
        "telemetry_cli.commands.gateway", "The receiving end: take events from exporters, publish them to a sink."
    ),
    "ingest": Command(
        "telemetry_cli.commands.ingest", "Take events over HTTP, from clients that are not Python backends."
    ),
    "admin": Command("telemetry_cli.commands.admin", "The operators' page: events, queue, dead letters, what left."),
}
"""In the order of the help. A test holds the summaries against what the modules say."""


def make_app(arguments: Sequence[str] | None = None) -> typer.Typer:
    """Return the command line, with all commands, or with what these arguments need.

    Loading takes most of a short command's time. So only the command that the arguments begin with is loaded; where
    they begin with another word, the commands are there by name and summary alone.

    Args:
        arguments: What the command line will run with; None: anything.

    Raises:
        ModuleNotFoundError: The extra `cli` is installed in part only.
    """
    app = typer.Typer(
        name="telemetry",
        epilog="Exit codes: 0 done; 1 it did not work (a database or gateway failed, events are left); "
        "2 wrong use (arguments, settings, an event that breaks a rule); 130 ended by Ctrl-C.",
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
    """Is listed, and never run: a command that is named is loaded."""


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - an option's callback
    if wanted:
        typer.echo(f"telemetry {metadata.version('telemetry-recorder')}")
        raise typer.Exit


def _telemetry(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Record telemetry events, export them to a gateway, and see what leaves."""


def needed_arguments(arguments: Sequence[str]) -> Sequence[str] | None:
    """Return what `make_app` must know of the arguments; None where a shell asks for completions."""
    return None if "_TELEMETRY_COMPLETE" in os.environ else arguments


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one clear line and an exit code, not in a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    run(make_app(needed_arguments(given)), given)


def run(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Run a command line that is loaded, as `main` does."""
    log_to_stderr()
    try:
        app(args=list(arguments))
    except MissingExtraError as error:
        print_error(str(error))
        sys.exit(EXIT_WRONG_USE)
    except TelemetryError as error:
        print_error(str(error))
        # By the kind of all bad input, not by `InvalidInputError` alone: a database URL that cannot be used is a wrong
        # setting, and belongs to the errors of the store.
        sys.exit(EXIT_WRONG_USE if isinstance(error, ValueError) else EXIT_FAILED)


if __name__ == "__main__":
    main()
