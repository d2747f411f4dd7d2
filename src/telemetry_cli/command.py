"""The entry point of the command `telemetry`: handle Ctrl-C, then load and run the command line."""

import os
import signal
import sys

EXIT_INTERRUPTED = 130
EXIT_WRONG_USE = 2


def main() -> None:
    """Load the command line and run it.

    Loading modules takes most of the time of a short command. Ctrl-C during that time ends the process with exit code
    130, as it does later, instead of a traceback from an import.
    """
    # If SIGINT is ignored (by nohup, or in a background job of a shell), it stays ignored.
    handles_sigint = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handles_sigint:
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
    from telemetry_runtime.extras import MissingExtraError, needs_extra  # noqa: PLC0415 - after the line above

    arguments = sys.argv[1:]
    try:
        with needs_extra("cli"):
            from telemetry_cli.main import make_app, needed_arguments, run  # noqa: PLC0415 - an optional part

            app = make_app(needed_arguments(arguments))
    except MissingExtraError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_WRONG_USE)
    if handles_sigint:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run(app, arguments)
