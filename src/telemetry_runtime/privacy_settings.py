"""The settings that decide which events, and which of their fields, may leave the instance."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from telemetry import (
    Allowlist,
    AllowlistEntry,
    ExportMode,
    ExportPolicy,
    Redactor,
    TelemetryMode,
    parse_allowlist,
)
from telemetry.allowlist import ADDITIONAL_EVENT_TYPES_VARIABLE, parse_additional_event_types
from telemetry.policy import ExportSwitch, export_opt_out
from telemetry_runtime.settings import EnvironmentSettings


def _parse_mode(value: object) -> object:
    return TelemetryMode.parse(value) if isinstance(value, str) else value


def _check_export_mode(value: str) -> str:
    ExportMode.parse(value)
    return value


def _check_additional(value: str) -> str:
    parse_additional_event_types(value)
    return value


class ConsentSettings(EnvironmentSettings):
    """Whether events may leave the instance at all. Reads no allowlist file: a broken one must not block opt-out."""

    export_mode: Annotated[str, AfterValidator(_check_export_mode)] = Field(
        default="none",
        validation_alias="TELEMETRY_EXPORT_MODE",
        description="What is exported: `none`, `all`, or feature prefixes separated by commas.",
    )
    telemetry_mode: Annotated[TelemetryMode, BeforeValidator(_parse_mode)] = Field(
        default=TelemetryMode.ON,
        validation_alias="TELEMETRY_MODE",
        description="`on`; `local`: record, never export; `off`: record nothing.",
    )
    do_not_track: str = Field(
        default="", validation_alias="DO_NOT_TRACK", description="`1` or `true` turns export off for this process."
    )
    scarf_no_analytics: str = Field(
        default="",
        validation_alias="SCARF_NO_ANALYTICS",
        description="Same as `DO_NOT_TRACK`, under Scarf's name.",
    )

    def export_policy(self, switch: ExportSwitch | None = None) -> ExportPolicy:
        """Return the policy that decides whether an event may leave at all."""
        return ExportPolicy(
            export_mode=ExportMode.parse(self.export_mode),
            telemetry_mode=self.telemetry_mode,
            opted_out_by=export_opt_out(
                {"DO_NOT_TRACK": self.do_not_track, "SCARF_NO_ANALYTICS": self.scarf_no_analytics}
            ),
            switch=switch,
        )


class PrivacySettings(ConsentSettings):
    """The settings that decide what may leave the instance. Recorders and exporters read the same ones."""

    allowlist_file: Path | None = Field(
        default=None,
        validation_alias="TELEMETRY_ALLOWLIST_FILE",
        description="Reviewed TOML file that lists the private metadata that may leave. If unset, none may.",
    )
    additional_event_types: Annotated[str, AfterValidator(_check_additional)] = Field(
        default="",
        validation_alias=ADDITIONAL_EVENT_TYPES_VARIABLE,
        description="More allowlist entries: `feature::action[::key...]`, separated by commas; `*` for any action.",
    )
    first_party_instance: bool = Field(
        default=False,
        validation_alias="TELEMETRY_FIRST_PARTY_INSTANCE",
        description="Export the sensitive fields of all events. Only for instances of the gateway's operator.",
    )

    @field_validator("allowlist_file")
    @classmethod
    def _check_allowlist(cls, value: Path | None) -> Path | None:
        if value is not None:
            _read_allowlist(value)
        return value

    def allowlist(self) -> Allowlist:
        """Return the reviewed allowlist, including the entries from the environment.

        Raises:
            InvalidAllowlistError: The file is invalid, or an entry is in both.
        """
        entries = [] if self.allowlist_file is None else _read_allowlist(self.allowlist_file)
        return Allowlist([*entries, *parse_additional_event_types(self.additional_event_types)])

    def redactor(self) -> Redactor:
        """Return the redactor that removes from events what must not leave."""
        return Redactor(self.allowlist(), first_party=self.first_party_instance)


def _read_allowlist(path: Path) -> list[AllowlistEntry]:
    return parse_allowlist(read_reviewed_file(path, "allowlist"), str(path))


def read_reviewed_file(path: Path, what: str) -> str:
    """Return the text of a reviewed file.

    Raises:
        ValueError: The file cannot be read. The message says why.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ValueError(f"the {what} file {path} cannot be read: {problem}") from None
