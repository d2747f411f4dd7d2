"""Removes events from an error's traceback."""

from traceback import clear_frames


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of the finished frames in an error's traceback.

    SECURITY: they hold complete events. Error trackers and pretty tracebacks show local variables.
    """
    clear_frames(error.__traceback__)
