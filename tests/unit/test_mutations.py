"""The list of `make mutations` matches the code, so that its long run does not fail at the start."""

import re
import shlex
from pathlib import Path

import pytest

from mutation_check import MUTATIONS, is_in_place
from mutations.mutation import Mutation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise.replace(" ", "_"))
def test_the_code_of_a_mutation_exists_once(mutation: Mutation) -> None:
    assert is_in_place(mutation)


@pytest.mark.parametrize("tests", sorted({mutation.tests for mutation in MUTATIONS}))
def test_the_tests_of_a_mutation_exist(tests: str) -> None:
    paths, _, words = re.sub(r" --\w+=\S+", "", tests).partition(" -k ")
    files = [file for path in shlex.split(paths) for file in _test_files(ROOT / path)]
    assert files
    # A parameter's id may be a quoted word.
    names = {name for file in files for name in re.findall(r'(?:def|class) (\w+)|"(\w+)"', file.read_text())}
    searched = " ".join([*(file.stem for file in files), *(word for pair in names for word in pair)]).lower()
    missing = {word for word in re.findall(r"\w+", words) if word.lower() not in searched} - {"and", "or", "not"}
    assert missing == set(), "a test was renamed: rename it in tools/mutations as well"


def _test_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("test_*.py"))
