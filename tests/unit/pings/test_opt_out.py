import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry import policy
from telemetry_pings import opt_out_variable
from telemetry_pings.opt_out import OPT_OUTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DO_NOT_TRACK", "1"),
        ("DO_NOT_TRACK", "true"),
        ("DO_NOT_TRACK", "TRUE"),
        ("DO_NOT_TRACK", " 1 "),
        ("SCARF_NO_ANALYTICS", "1"),
        ("SCARF_NO_ANALYTICS", "true"),
        ("SCARF_NO_ANALYTICS", "True"),
        ("SCARF_ANALYTICS", "false"),
        ("SCARF_ANALYTICS", "FALSE"),
    ],
)
def test_values_that_opt_out(name: str, value: str) -> None:
    assert opt_out_variable({"PATH": "/bin", name: value}) == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DO_NOT_TRACK", ""),
        ("DO_NOT_TRACK", "0"),
        ("DO_NOT_TRACK", "false"),
        ("SCARF_NO_ANALYTICS", "0"),
        ("SCARF_NO_ANALYTICS", "false"),
        ("SCARF_ANALYTICS", "true"),
        ("SCARF_ANALYTICS", ""),
        ("do_not_track", "1"),
        ("HOMEBREW_NO_ANALYTICS", "1"),
    ],
)
def test_values_that_do_not_opt_out(name: str, value: str) -> None:
    assert opt_out_variable({name: value}) is None


@given(
    st.dictionaries(st.sampled_from([*OPT_OUTS]), st.sampled_from(["", "0", "1", "true", "false", "TRUE", " 1", "yes"]))
)
def test_opting_out_of_export_opts_out_of_pings(environ: dict[str, str]) -> None:
    if policy.export_opt_out(environ) is not None:
        assert opt_out_variable(environ) is not None


def test_importing_the_package_imports_little() -> None:
    code = "import sys; before = set(sys.modules); import telemetry_pings; print(*sorted(set(sys.modules) - before))"
    modules = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"}
    ).stdout.split()
    assert "telemetry_pings.delivery" in modules
    for heavy in ("asyncio", "ssl", "http", "email", "logging", "telemetry", "google", "dataclasses", "inspect"):
        assert not [name for name in modules if name == heavy or name.startswith(f"{heavy}.")], heavy
