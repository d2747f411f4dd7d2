"""What the command `telemetry` starts: the command line, with Ctrl-C heard before it is loaded."""

import os
import signal
import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Loads the command line and runs it.

    Loading takes most of a short command's time. A Ctrl-C in there finds nothing begun, and ends the process with 130
    as it would later, not in a traceback of half an import.
    """
    # Where Ctrl-C is ignored (nohup, a shell's background job), that stays so.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
    from telemetry_cli.main import make_app, run  # noqa: PLC0415 - after the line above

    arguments = sys.argv[1:]
    app = make_app(arguments)
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run(app, arguments)
