"""What an error's traceback still holds of an event."""

from traceback import clear_frames


def forget_locals(error: BaseException) -> None:
    """Empties the local variables of the calls that an error has come through and that are over.

    SECURITY: they hold whole events. Error trackers and pretty tracebacks show local variables.
    """
    clear_frames(error.__traceback__)
