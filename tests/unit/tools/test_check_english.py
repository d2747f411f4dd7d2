from pathlib import Path

import pytest

from check_english import check_file, check_files, main


def phrases(path: Path) -> list[tuple[int, str]]:
    return [(finding.line, finding.phrase) for finding in check_file(path)]


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


PYTHON = '''\
"""A module's docstring that is told in place
of another."""

# A comment that is broken: it lasts for
# ever, and begins anew.
KEY = "told"


def test_somebody_is_missed() -> None:
    """Says nothing wrong: `nobody` is code here."""
    raise ValueError(f"{KEY} is no file, whoever asks")
    raise ValueError("this stands in for " + f"{KEY} is none")  # but for this
'''


def test_python_is_read_as_docstrings_comments_messages_and_names(tmp_path: Path) -> None:
    assert phrases(write(tmp_path, "module.py", PYTHON)) == [
        (1, "in place of"),
        (1, "told"),
        (4, "for ever"),
        (5, "anew"),
        (9, "somebody"),
        (11, "is no"),
        (11, "whoever"),
        (12, "but for"),
        (12, "is none"),
        (12, "stands in"),
    ]


def test_markdown_is_read_except_for_code(tmp_path: Path) -> None:
    page = write(
        tmp_path, "page.md", "Once\nmore\n\n```\ntold\n```\n\n- `nobody` and\n  ```\n  told\n  ```\n  somebody's own\n"
    )
    assert phrases(page) == [(1, "Once more"), (12, "somebody")]


def test_of_other_files_only_comments_are_read(tmp_path: Path) -> None:
    settings = write(tmp_path, "settings.toml", 'told = "told"\n# goes by its name\nx = 1 # of its own\n')
    assert phrases(settings) == [(2, "goes by"), (3, "of its own")]
    assert phrases(write(tmp_path, "wire.proto", "// so few that\nmessage told {}\n")) == [(1, "so few that")]
    assert phrases(write(tmp_path, "page.html", "<p>tells</p>")) == [(1, "tells")]
    assert phrases(write(tmp_path, "picture.svg", "<p>tells</p>")) == []


@pytest.mark.parametrize(
    "text",
    [
        "There is no file, and there are no rows.",
        "It is no longer used.",
        "The value is None.",
        "Foretold, butter, a stand.",
        "Log, notify, report; forever, again.",
    ],
)
def test_plain_english_passes(tmp_path: Path, text: str) -> None:
    assert phrases(write(tmp_path, "page.md", text)) == []


def test_folders_are_read_whole_except_caches(tmp_path: Path) -> None:
    (tmp_path / "deep" / "__pycache__").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for folder in ("deep", "deep/__pycache__", ".hidden"):
        write(tmp_path / folder, "page.md", "told")
    assert [finding.path for finding in check_files([tmp_path])] == [tmp_path / "deep" / "page.md"]


def test_each_phrase_is_reported_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = write(tmp_path, "page.md", "Good.\nNobody is told.\n")
    assert main([str(page)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{page}:2: Nobody (better: name the thing)",
        f"{page}:2: told (better: log, notify, report or say)",
    ]
    assert main([str(write(tmp_path, "good.md", "Good."))]) == 0


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "missing.md")])
