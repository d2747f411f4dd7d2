import importlib
import pkgutil

import export
import recorder
import telemetry_admin
import telemetry_gateway
import telemetry_ingest
from telemetry_cli.programs import UnknownName, programs, unknown_names
from telemetry_runtime.settings import EnvironmentSettings, Origin


def leaves(kind: type[EnvironmentSettings]) -> set[type[EnvironmentSettings]]:
    below = {leaf for child in kind.__subclasses__() for leaf in leaves(child)}
    return below or {kind}


def test_every_programs_settings_are_shown() -> None:
    for package in (export, recorder, telemetry_admin, telemetry_gateway, telemetry_ingest):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if module.name.endswith(".settings"):
                importlib.import_module(module.name)
    ours = {kind for kind in leaves(EnvironmentSettings) if not kind.__module__.startswith(("test", "tests", "unit"))}
    assert ours <= set(programs().values())


def test_unknown_names_are_reported_with_the_most_similar_setting() -> None:
    environ = {"TELEMETRY_MODES": "on", "TELEMETRY_MODE": "on", "TELEMETRY_TEST_X": "1", "PATH": "x", "TELEMETRY_Q": ""}
    assert list(unknown_names(environ)) == [
        UnknownName("TELEMETRY_MODES", Origin.ENVIRONMENT, "TELEMETRY_MODE"),
        UnknownName("TELEMETRY_Q", Origin.ENVIRONMENT, None),
    ]
