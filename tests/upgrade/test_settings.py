"""Every setting of 0.1.0, read from its settings files by the current code."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from support.programs import Shell
from support.releases import lines

# These name certificates and keys, which would expire in the fixtures.
CERTIFICATES = {
    f"TELEMETRY_{program}_TLS_{file}_FILE"
    for program, files in {
        "GATEWAY_EXPORTER": ("CA", "CERT", "KEY"),
        "GATEWAY": ("CERT", "KEY", "CLIENT_CA"),
        "INGEST": ("CERT", "KEY"),
        "ADMIN": ("CERT", "KEY"),
    }.items()
    for file in files
} | {"TELEMETRY_GATEWAY_AUTHORITY_CA_FILE"}

Shown = Mapping[str, Mapping[str, str]]


def show(folder: Path, file: str = "", release: Mapping[str, str] | None = None) -> Shown:
    """Return the settings that a release, or the current code, reads from a settings file; by variable."""
    shell = Shell(folder, {**({"TELEMETRY_SETTINGS_FILE": file} if file else {}), **(release or {})})
    return {one["variable"]: one for one in lines(shell, "config", "show")}


@pytest.mark.parametrize("file", ["settings.env", "service.env", "instance.env", "gateway.env"])
def test_each_setting_means_what_it_meant(folder: Path, file: str, release_0_1_0: Mapping[str, str]) -> None:
    written = [line.partition("=")[0] for line in (folder / file).read_text().splitlines()]
    then, now = show(folder, file, release_0_1_0), show(folder, file)
    for variable in written:
        assert then[variable]["origin"] == "file"
        assert (now[variable]["value"], now[variable]["origin"]) == (then[variable]["value"], "file")


def test_each_default_is_what_it_was(folder: Path, release_0_1_0: Mapping[str, str]) -> None:
    then, now = show(folder, release=release_0_1_0), show(folder)
    for variable, setting in then.items():
        assert now[variable]["value"] == setting["value"], variable


def test_the_settings_files_hold_every_setting(folder: Path, release_0_1_0: Mapping[str, str]) -> None:
    defaults = show(folder, release=release_0_1_0)
    changed: set[str] = set()
    for file in ("settings.env", "service.env"):
        shown = show(folder, file, release_0_1_0)
        changed |= {variable for variable in shown if shown[variable]["value"] != defaults[variable]["value"]}
    assert changed == set(defaults) - CERTIFICATES
