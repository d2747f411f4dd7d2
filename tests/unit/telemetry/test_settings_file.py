import pickle
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from telemetry_runtime.settings import EnvironmentSettings, InvalidSettingsError, Origin
from telemetry_runtime.settings_file import (
    SettingsFileError,
    file_settings,
    read_settings_file,
    settings_file,
    write_setting,
)


class Example(EnvironmentSettings):
    name: str = Field("none", validation_alias="EXAMPLE_NAME")
    count: int = Field(3, ge=1, validation_alias="EXAMPLE_COUNT")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.env"
    monkeypatch.setenv("TELEMETRY_SETTINGS_FILE", str(path))
    return path


def test_arguments_win_over_the_environment_and_that_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Example.model_fields["name"].default, Example.model_fields["count"].default) == ("none", 3)
    file.write_text("EXAMPLE_NAME='from the file'\nexport EXAMPLE_COUNT=7 # a comment\nOTHER=1\n")
    assert (Example.load().name, Example.load().count) == ("from the file", 7)
    assert Example.origins() == {"name": Origin.FILE, "count": Origin.FILE}
    monkeypatch.setenv("EXAMPLE_COUNT", "8")
    assert Example.load().count == 8
    assert Example.origins()["count"] is Origin.ENVIRONMENT
    assert Example.load(count=9).count == 9
    assert Example.origins(count=9, name=None) == {"name": Origin.FILE, "count": Origin.ARGUMENT}
    monkeypatch.setenv("EXAMPLE_COUNT", "")  # empty means not set
    assert Example.load().count == 7
    file.write_text("EXAMPLE_NAME=\n")
    assert Example.load().name == "none"
    assert Example.origins() == {"name": Origin.DEFAULT, "count": Origin.DEFAULT}


def test_no_file_is_read_that_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("EXAMPLE_NAME=surprise\n")
    assert Example.load().name == "none"
    assert settings_file({"TELEMETRY_SETTINGS_FILE": " "}) is None
    assert file_settings({}) == {}


def test_a_file_that_comes_and_goes_is_read_or_refused_and_never_passed_over(file: Path) -> None:
    file.write_text("EXAMPLE_NAME=off\n")
    away = file.with_name("away.env")
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            file.rename(away)
            away.rename(file)

    mover = threading.Thread(target=come_and_go)
    mover.start()
    read = refused = 0
    try:
        while read + refused < 500:
            try:
                assert Example.load().name == "off"
                read += 1
            except InvalidSettingsError:
                refused += 1
    finally:
        ended.set()
        mover.join()


def test_a_fault_in_the_file_names_the_variable_and_no_value(file: Path) -> None:
    file.write_text("EXAMPLE_COUNT=secret\n")
    with pytest.raises(InvalidSettingsError) as caught:
        Example.load()
    assert caught.value.faults[0][0] == "EXAMPLE_COUNT"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("line", ["TELEMETRY_MODE off", "TELEMETRY_MODE", "=off", "NAME='no end"])
def test_a_line_that_sets_nothing_is_refused_with_its_number(file: Path, line: str) -> None:
    file.write_text(f"# first\nEXAMPLE_NAME=x\n{line}\n")
    with pytest.raises(InvalidSettingsError, match=r"line 3: must be of the form NAME=VALUE") as caught:
        Example.load()
    assert "off" not in str(caught.value)


def test_a_file_that_is_named_must_be_readable(file: Path) -> None:
    with pytest.raises(InvalidSettingsError, match="the file does not exist; create it with: telemetry mode on"):
        Example.load()
    file.write_bytes(b"NAME=\xff\n")
    with pytest.raises(SettingsFileError, match="is not UTF-8"):
        read_settings_file(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(SettingsFileError, match="is not a regular file") as caught:
        read_settings_file(file)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (SettingsFileError, str(caught.value))
    with pytest.raises(SettingsFileError, match="File name too long"):
        read_settings_file(file.with_name("x" * 300))


def test_writing_keeps_the_rest_the_permissions_and_a_symbolic_link(tmp_path: Path) -> None:
    real = tmp_path / "real.env"
    real.write_text("# by hand\nA='x y'\nTELEMETRY_MODE=on\n\nB=2 # why\nTELEMETRY_MODE=local")
    real.chmod(0o640)
    link = tmp_path / "link.env"
    link.symlink_to(real)
    write_setting(link, "TELEMETRY_MODE", "off")
    assert real.read_text() == "# by hand\nA='x y'\n\nB=2 # why\nTELEMETRY_MODE=off\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.env", "real.env"]


def test_a_last_line_without_an_end_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    path.write_text("A=1")
    write_setting(path, "B", "2")
    assert read_settings_file(path) == {"A": "1", "B": "2"}


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    write_setting(path, "TELEMETRY_MODE", "off")
    assert path.read_text() == "TELEMETRY_MODE=off\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_is_reported_and_leaves_no_second_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsFileError, match="cannot be written: No such file or directory"):
        write_setting(tmp_path / "missing" / "settings.env", "A", "1")
    folder = tmp_path / "settings.env"
    folder.mkdir()
    with pytest.raises(SettingsFileError, match="is not a regular file"):
        write_setting(folder, "A", "1")
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(UnicodeEncodeError):  # in the middle of writing
        write_setting(tmp_path / "other.env", "A", "\ud800")
    assert list(tmp_path.iterdir()) == [folder]


words = st.from_regex(r"[A-Za-z0-9_\-.]{1,12}", fullmatch=True)


@given(before=st.dictionaries(st.sampled_from("ABCD"), words), name=st.sampled_from("ABCDE"), value=words)
def test_what_is_written_is_read_beside_all_that_was_there(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], name: str, value: str
) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.env"
    path.write_text("".join(f"{key}={text}\n" for key, text in before.items()))
    write_setting(path, name, value)
    assert read_settings_file(path) == {**before, name: value}
