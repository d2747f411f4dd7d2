"""What the command `telemetry` starts: the command line, with Ctrl-C heard before it is loaded."""

import os
import signal
import sys

EXIT_INTERRUPTED = 130
EXIT_WRONG_USE = 2


def main() -> None:
    """Loads the command line and runs it.

    Loading takes most of a short command's time. A Ctrl-C in there finds nothing begun, and ends the process with 130
    as it would later, not in a traceback of half an import.
    """
    # Where Ctrl-C is ignored (nohup, a shell's background job), that stays so.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
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
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run(app, arguments)
