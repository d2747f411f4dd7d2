"""The recorder's settings, from the environment."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, field_validator

from telemetry import Catalog, parse_catalog
from telemetry.event import DEFAULT_MAX_EVENT_BYTES
from telemetry_runtime.privacy_settings import read_reviewed_file
from telemetry_runtime.settings import PositiveDuration
from telemetry_store.settings import DatabaseSettings


class RecorderSettings(DatabaseSettings):
    """The settings of a process that records."""

    max_event_bytes: int = Field(
        default=DEFAULT_MAX_EVENT_BYTES,
        validation_alias="TELEMETRY_MAX_EVENT_BYTES",
        ge=1024,
        le=1024 * 1024,
        description="The largest serialized event, in bytes; a larger one is rejected.",
    )
    record_timeout: PositiveDuration = Field(
        default=timedelta(seconds=30),
        validation_alias="TELEMETRY_RECORD_TIMEOUT",
        description="How long a call waits for a reply of PostgreSQL before it raises. "
        "`from_engine` ignores it and keeps the timeouts of the host's engine.",
    )
    catalog_file: Path | None = Field(
        default=None,
        validation_alias="TELEMETRY_CATALOG_FILE",
        description="The reviewed TOML file of all events that may be recorded; others are rejected. Unset: any event.",
    )

    @field_validator("catalog_file")
    @classmethod
    def _check_catalog(cls, value: Path | None) -> Path | None:
        if value is not None:
            read_catalog(value)
        return value

    def catalog(self) -> Catalog | None:
        """Return the event catalogue; None if `catalog_file` is not set.

        Raises:
            InvalidCatalogError: The file does not follow the format.
        """
        return None if self.catalog_file is None else read_catalog(self.catalog_file)


def read_catalog(path: Path) -> Catalog:
    """Read an event catalogue.

    Raises:
        InvalidCatalogError: The file does not follow the format; the message names the line.
        ValueError: The file cannot be read.
    """
    return parse_catalog(read_reviewed_file(path, "catalogue"), str(path))
