"""Optional parts of the package: what to install where one is missing."""

from collections.abc import Generator
from contextlib import contextmanager

from telemetry.errors import TelemetryError


class MissingExtraError(TelemetryError, ImportError):
    """Something needs packages that are not installed; says which extra brings them."""


@contextmanager
def needs_extra(extra: str) -> Generator[None]:
    """Say what to install when an import in the `with` block does not find a module.

    Args:
        extra: The extra of `telemetry-recorder` that brings it.

    Raises:
        MissingExtraError: A package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None:
            raise
        missing = error.name.partition(".")[0]
        raise MissingExtraError(f"{missing} is not installed: pip install 'telemetry-recorder[{extra}]'") from None
