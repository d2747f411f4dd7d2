"""The settings of all programs, and names that no program knows."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Final, NamedTuple

from export.settings import ExporterSettings
from recorder.settings import RecorderSettings
from telemetry_admin.settings import AdminSettings
from telemetry_gateway.settings import GatewaySettings
from telemetry_ingest.settings import IngestSettings
from telemetry_runtime.settings import EnvironmentSettings, Origin
from telemetry_runtime.settings_file import SETTINGS_FILE_VARIABLE, file_settings

_PREFIX: Final = "TELEMETRY_"
_FOR_TESTS: Final = "TELEMETRY_TEST_"


@cache
def programs() -> Mapping[str, type[EnvironmentSettings]]:
    """Return every program's settings, those of parts that are not installed, too.

    A variable that two programs read is listed under the first.
    """
    return {
        "recorder": RecorderSettings,
        "exporter": ExporterSettings,
        "gateway": GatewaySettings,
        "ingest": IngestSettings,
        "admin": AdminSettings,
    }


class UnknownName(NamedTuple):
    """A name that looks like a setting and is none.

    Attributes:
        name: The name.
        origin: Where it is set.
        meant: The setting that has nearly the same name, if one has.
    """

    name: str
    origin: Origin
    meant: str | None

    def __str__(self) -> str:
        hint = f"; is {self.meant} meant?" if self.meant else ""
        return f"{self.name} ({self.origin.value}) is known to no program, so it does nothing{hint}"


def unknown_names(environ: Mapping[str, str] = os.environ) -> Iterator[UnknownName]:
    """Yields names in the environment and in the settings file that no program knows: most are misspelt.

    Raises:
        SettingsFileError: The settings file cannot be read.
    """
    known = {settings.variable_of(field) for settings in programs().values() for field in settings.model_fields}
    in_file = [name for name in file_settings(environ) if name.upper() not in known]
    in_environment = [
        name
        for name in environ
        if name.startswith(_PREFIX)
        and not name.startswith(_FOR_TESTS)
        and name != SETTINGS_FILE_VARIABLE
        and name not in known
    ]
    for names, origin in ((in_environment, Origin.ENVIRONMENT), (in_file, Origin.FILE)):
        for name in sorted(names):
            yield UnknownName(name, origin, next(iter(get_close_matches(name, known, n=1, cutoff=0.85)), None))
