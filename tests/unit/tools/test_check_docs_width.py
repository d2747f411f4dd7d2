from pathlib import Path

import pytest

from check_docs_width import LONGEST_CELL, LONGEST_LINE, check_page, main


def page(folder: Path, *lines: str) -> Path:
    file = folder / "page.md"
    file.write_text("\n".join(lines))
    return file


def test_a_long_line_is_reported(tmp_path: Path) -> None:
    file = page(tmp_path, "x" * LONGEST_LINE, "x" * (LONGEST_LINE + 1))
    assert check_page(file) == [f"{file}:2: {LONGEST_LINE + 1} characters; at most {LONGEST_LINE}"]


def test_code_may_be_wide(tmp_path: Path) -> None:
    long = "x" * 500
    assert check_page(page(tmp_path, "```", long, "```", "~~~~ text", "```", long, "~~~~")) == []
    assert len(check_page(page(tmp_path, "```", "```", long))) == 1


def test_a_row_may_be_wide_but_a_cell_holds_no_paragraph(tmp_path: Path) -> None:
    full = "x" * LONGEST_CELL
    assert check_page(page(tmp_path, f"| {full} | {full} |")) == []
    file = page(tmp_path, f"| {full}x | short |")
    assert check_page(file) == [f"{file}:1: a table cell of {LONGEST_CELL + 1} characters; at most {LONGEST_CELL}"]
    assert len(check_page(page(tmp_path, rf"| {full}\|x |"))) == 1


def test_pages_of_a_folder_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = page(tmp_path, "x" * 131)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{file}:1: 131 characters; at most 130\n"
    page(tmp_path, "short")
    assert main([str(tmp_path)]) == 0
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "missing.md")])
