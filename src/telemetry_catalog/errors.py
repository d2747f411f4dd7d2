"""Errors of the check of code against a catalogue."""

from telemetry.errors import InvalidInputError


class UnreadableCodeError(InvalidInputError):
    """A file or folder is missing, or a file is not valid Python."""


class UnnameableEventError(InvalidInputError):
    """Helpers cannot be generated: a Python name would be invalid, or used twice."""
