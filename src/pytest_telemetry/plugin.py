"""What pytest loads at its start: options, and nothing that costs an import.

The fixtures come later, when pytest is configured: whoever measures the coverage of what they import has begun by then.
"""

import pytest

DATABASE = "telemetry_database"
ALLOWLIST_FILE = "telemetry_allowlist_file"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the settings of `pytest.ini`."""
    parser.addini(DATABASE, "let recorders write to their databases in every test", type="bool", default=False)
    parser.addini(ALLOWLIST_FILE, "the allowlist of the fixture telemetry_recorder", type="string", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker and loads the fixtures."""
    config.addinivalue_line("markers", f"{DATABASE}: let recorders write to their databases in this test")
    config.pluginmanager.import_plugin("pytest_telemetry.fixtures")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Says where recorders write."""
    if config.getini(DATABASE):
        return None
    return f"telemetry: recorders write nowhere, but in tests marked {DATABASE}"
