"""What pytest loads at its start: options, and nothing that costs an import.

The fixtures, and what they import, come later: whoever measures the coverage of these imports has begun by then.
"""

from contextlib import ExitStack

import pytest

DATABASE = "telemetry_database"
ALLOWLIST_FILE = "telemetry_allowlist_file"

_BEGUN = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the settings of `pytest.ini`."""
    parser.addini(DATABASE, "let recorders write to their databases in every test", type="bool", default=False)
    parser.addini(ALLOWLIST_FILE, "the allowlist of the fixture telemetry_recorder", type="string", default="")


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begins before any code of the tests runs; after pytest-cov, which asks to be first."""
    _begin(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker; begins where a conftest has named this plugin."""
    config.addinivalue_line("markers", f"{DATABASE}: let recorders write to their databases in this test")
    _begin(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says where recorders write."""
    if config.getini(DATABASE):
        return None
    return f"telemetry: recorders write nowhere, but in tests marked {DATABASE}"


def _begin(config: pytest.Config) -> None:
    """Loads the fixtures, and lets recorders write nowhere: while tests are collected, in fixtures, in any thread."""
    if config.stash.get(_BEGUN, False):
        return
    config.stash[_BEGUN] = True
    config.pluginmanager.import_plugin("pytest_telemetry.fixtures")
    if config.getini(DATABASE):
        return
    from recorder import divert_events  # noqa: PLC0415 - not before coverage has begun
    from telemetry_testing.capture import Nowhere  # noqa: PLC0415

    diverting = ExitStack()
    diverting.enter_context(divert_events(Nowhere()))
    config.add_cleanup(diverting.close)
