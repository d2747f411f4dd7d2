"""Checks of the hooks, the hosted workflow, the Makefile, and the table of where to change what."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
CI_RUN = (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("name", WORKFLOW["jobs"])
def test_a_job_calls_ci_run_and_nothing_else(name: str) -> None:
    job = WORKFLOW["jobs"][name]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step} == {
        "actions/checkout",
        "actions/setup-python",
    }
    for variable in job["env"]:
        assert re.search(rf"\b{variable}\b", CI_RUN), f"{variable} has no effect in .ci/run"


def test_every_supported_version_is_in_the_matrix() -> None:
    matrix = WORKFLOW["jobs"]["change"]["strategy"]["matrix"]
    classifiers = re.findall(r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix == {"python": classifiers}


def test_targets_that_ci_run_makes_exist() -> None:
    made = {target for line in re.findall(r"\bmake ([a-z0-9. -]+)", CI_RUN) for target in line.split()}
    targets = set(re.findall(r"^([a-z0-9.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert "test-slow" in made
    assert made <= targets


def test_hooks_are_local_and_run_what_is_installed() -> None:
    assert [repo["repo"] for repo in HOOKS] == ["local"]
    hooks = {hook["id"]: hook for hook in HOOKS[0]["hooks"]}
    assert {"format", "lint", "imports", "english"} <= set(hooks)
    for hook in hooks.values():
        assert hook["language"] == "system"
        program, *arguments = hook["entry"].split()
        assert program.startswith(".venv/bin/")
        assert all((ROOT / each).exists() for each in arguments if each.endswith(".py"))


def test_help_lists_every_documented_target_in_a_group() -> None:
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  (\S+) +\S", shown, re.MULTILINE)
    documented = re.findall(r"^([a-z0-9.-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed == documented
    groups = re.split(r"^(?=\S)", shown.strip(), flags=re.MULTILINE)[1:]
    assert len(groups) >= 5
    assert all("\n  " in group for group in groups)


def rows_of_where_to_change() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## Where do I change X?")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][2:]


def test_ten_tasks_and_more_are_explained() -> None:
    assert len(rows_of_where_to_change()) >= 10


@pytest.mark.parametrize("row", rows_of_where_to_change(), ids=lambda row: row.split("|")[1].strip())
def test_each_file_that_a_task_names_exists(row: str) -> None:
    paths = [each for each in re.findall(r"`([^`]+)`", row) if "/" in each]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["ISSUE_TEMPLATE/problem.md", "pull_request_template.md"])
def test_templates_are_short(name: str) -> None:
    assert len((ROOT / ".github" / name).read_text().splitlines()) <= 12
