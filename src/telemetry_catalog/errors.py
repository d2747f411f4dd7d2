"""What can go wrong between a catalogue and the code."""

from telemetry.errors import InvalidInputError


class UnreadableCodeError(InvalidInputError):
    """A file that should be looked at is missing, or is no Python."""


class UnnameableEventError(InvalidInputError):
    """Helpers cannot be generated: two events or keys would have the same name in Python."""
