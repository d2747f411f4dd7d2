"""What pytest loads when it starts: settings and fixtures, without expensive imports.

A test run that does not use telemetry loads only this package of the project. The fixtures import what they need when
a test requests them.
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
    """Divert events before any code of the tests runs."""
    _begin(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; divert events where only a conftest has loaded this plugin."""
    config.addinivalue_line("markers", f"{DATABASE}: let recorders write to their databases in this test")
    _begin(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Report that recorders do not write, or why this plugin is disabled."""
    foreign = foreign_package()
    if foreign is not None:
        return f"telemetry: disabled, because {foreign}"
    if config.getini(DATABASE):
        return None
    return f"telemetry: recorders write nowhere, except in tests marked {DATABASE}"


def _begin(config: pytest.Config) -> None:
    """Register the fixtures, and discard what is recorded: while tests are collected, in fixtures, in any thread."""
    if config.stash.get(_BEGUN, False):
        return
    config.stash[_BEGUN] = True
    config.pluginmanager.import_plugin("pytest_telemetry.fixtures")
    if config.getini(DATABASE):
        return
    diverting = DivertWhenImported()
    diverting.begin()
    config.add_cleanup(diverting.end)
