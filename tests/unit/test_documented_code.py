"""The code on how-to pages is part of the examples that the tests run."""

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("use-with-a-web-framework.md",)


@pytest.mark.parametrize("page", PAGES)
def test_each_code_block_is_in_the_example_named_before_it(page: str) -> None:
    text = (ROOT / "docs" / "how-to" / page).read_text()
    example: Path | None = None
    blocks = 0
    for named, block in re.findall(r"`(examples/[\w/]+\.py)`:|```python\n(.*?)```", text, re.DOTALL):
        if named:
            example = ROOT / named
            continue
        assert example is not None
        # Compare without the indentation that the block has in the example.
        wanted = textwrap.dedent(block).splitlines()
        lines = example.read_text().splitlines()
        chunks = (lines[start : start + len(wanted)] for start in range(len(lines)))
        assert any(textwrap.dedent("\n".join(chunk)).splitlines() == wanted for chunk in chunks), (
            f"not in {example.relative_to(ROOT)}:\n{block}"
        )
        blocks += 1
    assert blocks > 0
