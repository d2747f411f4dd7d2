"""Commands of optional parts: what to install, where a part is missing."""

from collections.abc import Generator
from contextlib import contextmanager

from telemetry import TelemetryError


class MissingExtraError(TelemetryError):
    """A command needs packages that are not installed."""


@contextmanager
def needs_extra(extra: str) -> Generator[None]:
    """Says what to install when an import in the `with` block finds no module.

    Args:
        extra: The extra of `telemetry-recorder` that brings it.

    Raises:
        MissingExtraError: A package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed: pip install 'telemetry-recorder[{extra}]'") from None
