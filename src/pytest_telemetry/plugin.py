"""What pytest loads at its start: settings and fixtures, and nothing that costs an import.

A run that has nothing to do with telemetry loads no module of ours beside this package. The fixtures import what they
need when a test asks for them.
"""

import pytest

from pytest_telemetry.diversion import DivertWhenImported
from pytest_telemetry.ownership import foreign_package

DATABASE = "telemetry_database"
ALLOWLIST_FILE = "telemetry_allowlist_file"

_BEGUN = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of `pytest.ini`."""
    parser.addini(DATABASE, "let recorders write to their databases in every test", type="bool", default=False)
    parser.addini(ALLOWLIST_FILE, "the allowlist of the fixture telemetry_recorder", type="string", default="")


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before any code of the tests runs."""
    _begin(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; begin where a conftest has named this plugin."""
    config.addinivalue_line("markers", f"{DATABASE}: let recorders write to their databases in this test")
    _begin(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say where recorders write, or why this plugin is off."""
    foreign = foreign_package()
    if foreign is not None:
        return f"telemetry: off, because {foreign}"
    if config.getini(DATABASE):
        return None
    return f"telemetry: recorders write nowhere, except in tests marked {DATABASE}"


def _begin(config: pytest.Config) -> None:
    """Register the fixtures, and let recorders write nowhere: while tests are collected, in fixtures, in any thread."""
    if config.stash.get(_BEGUN, False):
        return
    config.stash[_BEGUN] = True
    config.pluginmanager.import_plugin("pytest_telemetry.fixtures")
    if config.getini(DATABASE):
        return
    diverting = DivertWhenImported()
    diverting.begin()
    config.add_cleanup(diverting.end)
