"""The tests in the how-to page pass as documented."""

import re
import sys
from pathlib import Path

import pytest

from pytest_telemetry import plugin

pytest_plugins = ["pytester"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "test-your-telemetry.md"
ALLOWLIST = """
[[event]]
feature = "assistant.chat"
action = "submit"
keys = { language = "shows which parser to improve" }
approved_by = "ada"
approved_on = 2026-01-01
"""


def test_the_documented_tests_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text()
    (settings,) = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    pytester.makeini(settings)
    pytester.makepyfile("\n\n".join(blocks))
    (pytester.path / "allowlist.toml").write_text(ALLOWLIST)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    result = pytester.runpytest_subprocess("-p", plugin.__name__, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=len(re.findall(r"^def test_", "\n".join(blocks), re.MULTILINE)))
    assert not (pytester.path / "telemetry.db").exists()


def test_the_documented_failure_message_is_current(pytester: pytest.Pytester) -> None:
    text = PAGE.read_text()
    block = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    (shown,) = re.findall(r"```\n(search\.submit was not recorded.*?)```", text, re.DOTALL)
    pytester.makepyfile(block.replace('metadata={"words": 2})\n    assert', 'metadata={"words": 3})\n    assert'))
    result = pytester.runpytest_subprocess("-p", plugin.__name__, "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    told = "\n".join(line for line in result.outlines if line.startswith("E "))
    for line in shown.splitlines():
        assert line.strip() in told
