"""The settings of all programs, and unknown names of settings."""

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
    """Return the settings of every program, including those of parts that are not installed.

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
    """An unknown name with the prefix of settings.

    Attributes:
        name: The name.
        origin: Where it is set.
        similar: The setting with the most similar name, if any.
    """

    name: str
    origin: Origin
    similar: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {self.similar}?" if self.similar else ""
        return f"{self.name} ({self.origin.value}) is not a known setting, so it has no effect{hint}"


def unknown_names(environ: Mapping[str, str] = os.environ) -> Iterator[UnknownName]:
    """Yield names in the environment and in the settings file that are not settings of a program, such as typos.

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
