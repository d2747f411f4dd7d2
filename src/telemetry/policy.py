"""Whether an event may leave at all: export mode, consent, and the switch per user."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from telemetry.errors import InvalidPolicyError
from telemetry.logger import get_logger
from telemetry.names import is_valid_name
from telemetry.v1 import telemetrygateway_pb2 as pb

EXPORT_FLAG = "telemetry-export"
"""The feature flag that keeps a user's events on the instance when it is false."""

OPT_OUT_VARIABLES = ("DO_NOT_TRACK", "SCARF_NO_ANALYTICS")
"""Environment variables that switch export off for the process."""

_MODES_RULE = "must be none, all, or feature prefixes separated by commas, such as search,shop.order"
# Nearly always meant as a switch. Taken as prefixes they would look like an export that is on, and nothing would leave.
_YES = frozenset({"1", "true", "t", "yes", "y", "on", "enable", "enabled"})
_NO = frozenset({"0", "false", "f", "no", "n", "off", "disable", "disabled"})

ExportSwitch: TypeAlias = Callable[[pb.Event], bool]
"""Decides from an event's context (user, flags, client) whether it may be exported."""

_log = get_logger(__name__)


class TelemetryMode(enum.Enum):
    """What the process does with events, in one word."""

    ON = "on"
    """Record, and export what the export mode covers."""
    LOCAL = "local"
    """Record into `event_logs`, never export."""
    OFF = "off"
    """Record nothing."""

    @classmethod
    def parse(cls, text: str) -> "TelemetryMode":
        """Reads `on`, `local` or `off`, in any case.

        Raises:
            InvalidPolicyError: It is none of these.
        """
        word = text.strip().lower()
        for mode in cls:
            if mode.value == word:
                return mode
        raise InvalidPolicyError("telemetry mode", "must be one of on, local, off")


@dataclass(frozen=True, slots=True)
class ExportMode:
    """Which features are exported.

    Attributes:
        everything: Every feature.
        prefixes: Else these and what is below them: `search` covers `search` and `search.*`.
    """

    everything: bool = False
    prefixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ExportMode":
        """Reads `none`, `all` (both in any case), or feature prefixes separated by commas.

        Raises:
            InvalidPolicyError: A prefix could never be a feature, or is a word for yes or no.
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
        """Returns whether events of `feature` are exported."""
        return self.everything or any(feature == prefix or feature.startswith(f"{prefix}.") for prefix in self.prefixes)

    def __str__(self) -> str:
        return "all" if self.everything else ",".join(self.prefixes) or "none"


def _prefix_fault(word: str, lower: str) -> str | None:
    """Returns why a word cannot be one of several prefixes, without the word."""
    if lower in ("all", "none"):
        return f"is {lower}, which cannot be combined with others"
    if lower in _YES:
        return "means yes: to export every feature, use all"
    if lower in _NO:
        return "means no: to export nothing, use none"
    return None if is_valid_name(word) else "is not a valid prefix"


def export_opt_out(environ: Mapping[str, str]) -> str | None:
    """Returns the name of the variable in `environ` that opts this process out of export, if one does."""
    return next((name for name in OPT_OUT_VARIABLES if environ.get(name, "").strip().lower() in ("1", "true")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPolicy:
    """Everything that decides whether an event may leave.

    Attributes:
        export_mode: Which features are exported; nothing by default.
        telemetry_mode: What the process does with events.
        opted_out_by: The environment variable that switched export off, if one did.
        switch: Asked for each event, after all else; when it raises, the event stays.
    """

    export_mode: ExportMode = ExportMode()
    telemetry_mode: TelemetryMode = TelemetryMode.ON
    opted_out_by: str | None = None
    switch: ExportSwitch | None = None

    @property
    def obstacle(self) -> str | None:
        """What keeps every event on the instance, in words for an operator; None when some may leave."""
        if self.telemetry_mode is not TelemetryMode.ON:
            return f"TELEMETRY_MODE is {self.telemetry_mode.value}"
        if self.opted_out_by is not None:
            return f"{self.opted_out_by} is set"
        if not self.export_mode.everything and not self.export_mode.prefixes:
            return "TELEMETRY_EXPORT_MODE is none (set it to all, or to feature prefixes)"
        return None

    def covers(self, feature: str) -> bool:
        """Returns whether events of `feature` may leave this process at all."""
        # SECURITY: consent and mode come first; a feature outside the mode never leaves.
        return self.obstacle is None and self.export_mode.covers(feature)

    def allows(self, event: pb.Event) -> bool:
        """Returns whether this event may be queued for export."""
        if not self.covers(event.feature):
            return False
        # SECURITY: a user whose flag is off stays on the instance.
        if event.feature_flags.flags.get(EXPORT_FLAG, "true").lower() != "true":
            return False
        if self.switch is None:
            return True
        try:
            return bool(self.switch(event))
        except Exception as error:  # noqa: BLE001 - the switch is the host's code
            # SECURITY: a switch that fails keeps the event here.
            _log.warning("export switch failed, event stays local", error=type(error).__name__)
            return False
