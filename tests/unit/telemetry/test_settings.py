import pickle
from datetime import timedelta
from typing import Annotated

import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from telemetry_runtime.settings import (
    Duration,
    EnvironmentSettings,
    InvalidSettingsError,
    format_duration,
    parse_duration,
)


class Example(EnvironmentSettings):
    name: str = Field("none", validation_alias="EXAMPLE_NAME")
    count: int = Field(3, ge=1, validation_alias="EXAMPLE_COUNT")
    pause: Annotated[Duration, Gt(timedelta())] = Field(timedelta(seconds=5), validation_alias="EXAMPLE_PAUSE")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("10us", 1e-5),
        ("2h0m1s", 7201),
    ],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5d", "1h x", "9" * 30 + "h"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as|is longer than the longest"):
        parse_duration(text)


@given(st.timedeltas(timedelta(), timedelta(days=400)).map(lambda value: timedelta(seconds=int(value.total_seconds()))))
def test_durations_are_written_as_they_are_read(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


def test_arguments_win_over_the_environment_and_empty_means_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_NAME", "environment")
    monkeypatch.setenv("EXAMPLE_COUNT", "")
    monkeypatch.setenv("EXAMPLE_PAUSE", "1m")
    assert Example.load().name == "environment"
    settings = Example.load(name="argument", pause=None)
    assert (settings.name, settings.count, settings.pause) == ("argument", 3, timedelta(minutes=1))


def test_every_fault_is_reported_at_once_by_variable_without_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_COUNT", "CANARY")
    monkeypatch.setenv("EXAMPLE_PAUSE", "0")
    with pytest.raises(InvalidSettingsError) as caught:
        Example.load()
    assert [variable for variable, _ in caught.value.faults] == ["EXAMPLE_COUNT", "EXAMPLE_PAUSE"]
    assert "CANARY" not in str(caught.value)
    assert caught.value.__context__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_one_fault_is_one_line_and_several_are_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_COUNT", "CANARY")
    with pytest.raises(InvalidSettingsError) as one:
        Example.load()
    assert str(one.value).startswith("settings: EXAMPLE_COUNT: ")
    assert "\n" not in str(one.value)
    monkeypatch.setenv("EXAMPLE_PAUSE", "0")
    with pytest.raises(InvalidSettingsError) as two:
        Example.load()
    lines = str(two.value).splitlines()
    assert lines[0] == "settings: 2 faults"
    assert [line.split(":")[0] for line in lines[1:]] == ["  EXAMPLE_COUNT", "  EXAMPLE_PAUSE"]


def test_an_unknown_argument_is_rejected() -> None:
    with pytest.raises(InvalidSettingsError, match="unknown"):
        Example.load(unknown=1)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Example.load().name = "x"
