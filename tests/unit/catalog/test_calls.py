from pathlib import Path

import pytest

from telemetry_catalog import UnreadableCodeError, read_code

IMPORTS = "from recorder import Recorder\n"


def events(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [f"{call.file.stem}:{call.line} {call.feature} {call.action}" for call in read_code([folder]).calls]


def unreadable(folder: Path, code: str) -> list[int]:
    (folder / "code.py").write_text(code)
    return [call.line for call in read_code([folder]).unreadable]


@pytest.mark.parametrize(
    "code",
    [
        'recorder.record("search", "submit")',
        'self.recorder().record("search", "submit", parameters)',
        'await asynchronous.record("search", action="submit")',
        'x.record(feature="search", action="submit")',
        'NewEvent("search", "submit")',
        'telemetry.NewEvent("search", action="submit")',
        'A = "search"\nx.record(A, "submit")',
        'A: Final = "se"\nx.record(A + "arch", "submit")',
        'A = "arch"\nx.record(f"se{A}", "submit")',
        'class Names:\n    SEARCH = "search"\nx.record(Names.SEARCH, "submit")',
        'def f():\n    with a:\n        return [x.record("search", "submit")]',
    ],
)
def test_a_call_with_constant_names_is_found(tmp_path: Path, code: str) -> None:
    assert [found.split(" ", 1)[1] for found in events(tmp_path, code=code)] == ["search submit"]


def test_a_conditional_name_counts_as_all_its_values(tmp_path: Path) -> None:
    code = 'recorder.record("search", "submit" if ok else "fa" + "iled")'
    assert events(tmp_path, code=code) == ["code:1 search failed", "code:1 search submit"]


@pytest.mark.parametrize(
    "code",
    [
        'camera.record("Video 1", "mp4")',  # another library: not valid event names
        'camera.record("video")',
        "camera.record(path, codec)",
        'recorder.recording("search", "submit")',
        'recorder.record(*names, "submit")',
        'record("search", "submit")',
    ],
)
def test_other_calls_are_ignored(tmp_path: Path, code: str) -> None:
    assert events(tmp_path, code=code) == []
    assert unreadable(tmp_path, code) == []


@pytest.mark.parametrize(
    "code",
    [
        "recorder.record(feature, 'submit')",
        "self._recorder.record(feature, 'submit')",
        "get_recorder().record(feature, 'submit')",
        "NewEvent('search', request.action)",
        "A = 'search'\nA = 'find'\nrecorder.record(A, 'submit')",
        "A = B\nB = A\nrecorder.record(A, 'submit')",
        "recorder.record(f'search{number:d}', 'submit')",
        "recorder.record(a.b.c, 'submit')",
        "from elsewhere import A\nrecorder.record(A, 'submit')",
        "recorder.record('search' if x else y, 'submit')",
    ],
)
def test_dynamic_names_are_reported(tmp_path: Path, code: str) -> None:
    assert unreadable(tmp_path, code) == [code.count("\n") + 1]


def test_a_recorder_call_with_invalid_names_is_found(tmp_path: Path) -> None:
    assert events(tmp_path, code='recorder.record("Search", "submit")') == ["code:1 Search submit"]


def test_a_skip_comment_on_the_first_or_last_line(tmp_path: Path) -> None:
    code = "recorder.record(a, b)  # catalog: skip\nrecorder.record(\n    a,\n    b,\n)  # catalog: skip\n"
    assert unreadable(tmp_path, code + "recorder.record(a, b)\n") == [6]


def test_constants_of_other_modules_are_followed(tmp_path: Path) -> None:
    found = events(
        tmp_path,
        shop__names='SEARCH = "search"\nfrom .deeper import OPEN\nclass Actions:\n    SUBMIT = "submit"\n',
        shop__deeper='OPEN = "opened"\n',
        shop__view="from shop.names import SEARCH as S, Actions, OPEN\n"
        "r.record(S, Actions.SUBMIT)\nr.record(S, OPEN)\n",
        shop__sub__view='from ..names import SEARCH\nfrom .. import names\nr.record(SEARCH, "a.b")\n'
        'r.record(names.SEARCH, "c.d")\n',
    )
    assert found == ["view:3 search a.b", "view:4 search c.d", "view:2 search submit", "view:3 search opened"]


def test_an_ambiguous_module_is_not_followed(tmp_path: Path) -> None:
    names = 'A = "search"\n'
    code = 'from names import A\nrecorder.record(A, "submit")\n'
    assert events(tmp_path, one__names=names, two__names=names, code=code) == []
    assert [call.line for call in read_code([tmp_path]).unreadable] == [2]


def test_too_many_possibilities_count_as_unreadable(tmp_path: Path) -> None:
    choice = '("a" if x else "b")'
    assert unreadable(tmp_path, f"recorder.record({' + '.join([choice] * 7)}, 'submit')") == [1]


def test_folders_of_other_code_are_skipped(tmp_path: Path) -> None:
    call = 'r.record("search", "submit")'
    found = events(tmp_path, **{".venv__a": call, "node_modules__b": call, "lib__site-packages__c": call, "d": call})
    assert found == ["d:1 search submit"]


def test_files_are_decoded_by_their_declared_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes('# coding: latin-1\nx = "ä"\nr.record("search", "submit")\n'.encode("latin-1"))
    assert [call.line for call in read_code([tmp_path / "a.py"]).calls] == [3]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"def f(:\n", "is not valid code for this Python version, line 1"),
        (b"x = 1\n\xff\n", "is not valid code for this Python version"),
        (b"# coding: nonsense\n", "is not valid code for this Python version"),
        (b"x = 1\0", "is not valid code for this Python version"),
        (b"x = " + b"(" * 5_000 + b")" * 5_000, "is not valid code for this Python version"),
        (b"x = " + b"-" * 200_000 + b"1", "is not valid code for this Python version"),
    ],
)
def test_an_invalid_python_file_is_reported(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.py").write_bytes(content)
    with pytest.raises(UnreadableCodeError, match=rf"a\.py: {problem}"):
        read_code([tmp_path])


def test_a_missing_path_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCodeError, match="missing: there is no such file or folder"):
        read_code([tmp_path / "missing"])
