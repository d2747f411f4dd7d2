"""Check with a type checker that valid calls pass and invalid calls fail."""

import json
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


def pyright_errors(file: str) -> list[tuple[int, str]]:
    """Return the errors of pyright in a file: line and rule, sorted."""
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", str(FOLDER / file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    document = json.loads(done.stdout)
    assert document["summary"]["filesAnalyzed"] == 1, done.stdout
    return sorted((found["range"]["start"]["line"] + 1, found["rule"]) for found in document["generalDiagnostics"])


def test_code_as_callers_write_it_passes() -> None:
    assert pyright_errors("must_pass.py") == []


def test_names_from_variables_and_wrong_kinds_fail() -> None:
    lines = (FOLDER / "must_fail.py").read_text().splitlines()
    expected = [
        (number, found.group(1)) for number, line in enumerate(lines, 1) if (found := re.search(r"# E: (\w+)$", line))
    ]
    assert pyright_errors("must_fail.py") == expected
    assert len(expected) == 17
