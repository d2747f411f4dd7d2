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
        description="The largest serialized event, in bytes; a larger one is refused.",
    )
    record_timeout: PositiveDuration = Field(
        default=timedelta(seconds=30),
        validation_alias="TELEMETRY_RECORD_TIMEOUT",
        description="How long a call waits for an answer of PostgreSQL before it raises. "
        "Not read by `from_engine`: the host's engine waits as the host has it.",
    )
    catalog_file: Path | None = Field(
        default=None,
        validation_alias="TELEMETRY_CATALOG_FILE",
        description="The reviewed TOML file of every event there is; others are refused. None: any may be recorded.",
    )

    @field_validator("catalog_file")
    @classmethod
    def _check_catalog(cls, value: Path | None) -> Path | None:
        if value is not None:
            read_catalog(value)
        return value

    def catalog(self) -> Catalog | None:
        """Returns the event catalogue; None where there is none.

        Raises:
            InvalidCatalogError: The file breaks its format.
        """
        return None if self.catalog_file is None else read_catalog(self.catalog_file)


def read_catalog(path: Path) -> Catalog:
    """Reads an event catalogue.

    Raises:
        InvalidCatalogError: The file breaks its format; says the line.
        ValueError: It cannot be read.
    """
    return parse_catalog(read_reviewed_file(path, "catalogue"), str(path))
