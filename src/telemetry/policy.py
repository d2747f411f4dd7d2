"""Decides whether an event may be exported: export mode, consent, and the switch per user."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from telemetry.errors import InvalidPolicyError
from telemetry.logger import get_logger
from telemetry.names import is_valid_name
from telemetry.v1 import telemetrygateway_pb2 as pb

EXPORT_FLAG = "telemetry-export"
"""The feature flag that prevents the export of a user's events if it is false."""

OPT_OUT_VARIABLES = ("DO_NOT_TRACK", "SCARF_NO_ANALYTICS")
"""Environment variables that disable export for the process."""

_MODES_RULE = "must be none, all, or feature prefixes separated by commas, such as search,shop.order"
# Almost always meant as a switch. As prefixes they would look like export is on, but would export nothing.
_YES = frozenset({"1", "true", "t", "yes", "y", "on", "enable", "enabled"})
_NO = frozenset({"0", "false", "f", "no", "n", "off", "disable", "disabled"})

ExportSwitch: TypeAlias = Callable[[pb.Event], bool]
"""Decides from an event's context (user, flags, client) whether it may be exported."""

_log = get_logger(__name__)


class TelemetryMode(enum.Enum):
    """What the process does with events."""

    ON = "on"
    """Record, and export what the export mode covers."""
    LOCAL = "local"
    """Record into `event_logs`, never export."""
    OFF = "off"
    """Record nothing."""

    @classmethod
    def parse(cls, text: str) -> "TelemetryMode":
        """Parse `on`, `local` or `off`, in any case.

        Raises:
            InvalidPolicyError: It is not one of these.
        """
        word = text.strip().lower()
        for mode in cls:
            if mode.value == word:
                return mode
        raise InvalidPolicyError("telemetry mode", "must be one of on, local, off")


@dataclass(frozen=True, slots=True)
class ExportMode:
    """The features that are exported.

    Attributes:
        everything: Every feature.
        prefixes: Otherwise these and the features below them: `search` covers `search` and `search.*`.
    """

    everything: bool = False
    prefixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ExportMode":
        """Parse `none`, `all` (both in any case), or feature prefixes separated by commas.

        Raises:
            InvalidPolicyError: A prefix is not a valid feature, or is a word for yes or no.
        """
        words = [word.strip().removesuffix(".") for word in text.split(",") if word.strip()]
        reserved = [word.lower() for word in words]
        if reserved == ["all"]:
            return cls(everything=True)
        if reserved in ([], ["none"]):
            return cls()
        for position, (word, lower) in enumerate(zip(words, reserved, strict=True), start=1):
            if fault := _prefix_fault(word, lower):
                raise InvalidPolicyError("export mode", f"{_MODES_RULE}; entry {position} {fault}")
        return cls(prefixes=tuple(words))

    def covers(self, feature: str) -> bool:
        """Return whether events of `feature` are exported."""
        return self.everything or any(feature == prefix or feature.startswith(f"{prefix}.") for prefix in self.prefixes)

    def __str__(self) -> str:
        return "all" if self.everything else ",".join(self.prefixes) or "none"


def _prefix_fault(word: str, lower: str) -> str | None:
    """Return why a word is not a valid prefix, without quoting it."""
    if lower in ("all", "none"):
        return f"is {lower}, which cannot be combined with others"
    if lower in _YES:
        return "means yes: to export every feature, use all"
    if lower in _NO:
        return "means no: to export nothing, use none"
    return None if is_valid_name(word) else "is not a valid prefix"


def export_opt_out(environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable in `environ` that disables export for this process, if any."""
    return next((name for name in OPT_OUT_VARIABLES if environ.get(name, "").strip().lower() in ("1", "true")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPolicy:
    """All the rules that decide whether an event may be exported.

    Attributes:
        export_mode: The features that are exported; none by default.
        telemetry_mode: What the process does with events.
        opted_out_by: The environment variable that disabled export, if any.
        switch: Called for each event, after all other rules; if it raises, the event is not exported.
    """

    export_mode: ExportMode = ExportMode()
    telemetry_mode: TelemetryMode = TelemetryMode.ON
    opted_out_by: str | None = None
    switch: ExportSwitch | None = None

    @property
    def obstacle(self) -> str | None:
        """Why no event is exported, as text for operators; None if some may be exported."""
        if self.telemetry_mode is not TelemetryMode.ON:
            return f"TELEMETRY_MODE is {self.telemetry_mode.value}"
        if self.opted_out_by is not None:
            return f"{self.opted_out_by} is set"
        if not self.export_mode.everything and not self.export_mode.prefixes:
            return "TELEMETRY_EXPORT_MODE is none (set it to all, or to feature prefixes)"
        return None

    def covers(self, feature: str) -> bool:
        """Return whether events of `feature` may be exported by this process at all."""
        # SECURITY: consent and mode come first; a feature outside the mode is never exported.
        return self.obstacle is None and self.export_mode.covers(feature)

    def allows(self, event: pb.Event) -> bool:
        """Return whether this event may be queued for export."""
        if not self.covers(event.feature):
            return False
        # SECURITY: never export the events of a user whose flag is off.
        if event.feature_flags.flags.get(EXPORT_FLAG, "true").lower() != "true":
            return False
        if self.switch is None:
            return True
        try:
            return bool(self.switch(event))
        except Exception as error:  # noqa: BLE001 - the switch is the host's code
            # SECURITY: if the switch fails, do not export the event.
            _log.warning("export switch failed, event stays local", error=type(error).__name__)
            return False
