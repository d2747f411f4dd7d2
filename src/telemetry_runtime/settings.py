"""Settings from the environment and the settings file: frozen values, created once; all faults are reported together.

Import this module only where a process starts: other code receives settings as arguments.
"""

import enum
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, Self

from annotated_types import Gt
from pydantic import AliasGenerator, BeforeValidator, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources.utils import parse_env_vars

from telemetry.errors import InvalidInputError
from telemetry_runtime.settings_file import SettingsFileError, file_settings

_UNIT_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)"
_DURATION: Final = re.compile(rf"(?:{_PART})+")


_ALL: Final = "settings"


class InvalidSettingsError(InvalidInputError):
    """Settings are invalid. The message has a line for each fault, and shows no value.

    Attributes:
        faults: The name of the variable and what is wrong, for each fault.
    """

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        # "settings" is what a fault of no single variable is called.
        lines = [problem if name == _ALL else f"{name}: {problem}" for name, problem in self.faults]
        super().__init__(_ALL, lines[0] if len(lines) == 1 else f"{len(lines)} faults\n  " + "\n  ".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling."""
        return type(self), (self.faults,)


def parse_duration(value: object) -> object:
    """Parse a duration in Go's format: `300ms`, `5m`, `1h30m`, `0`. Return a value that is not a string unchanged.

    Raises:
        ValueError: The text is not a valid duration.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text == "0":
        return timedelta()
    if _DURATION.fullmatch(text) is None:
        raise ValueError("must be a duration such as 30s, 5m or 1h30m")
    try:
        return timedelta(seconds=sum(float(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(_PART, text)))
    except OverflowError:
        raise ValueError("is longer than the longest possible duration") from None


def format_duration(value: timedelta) -> str:
    """Format a duration in Go's format: `1h30m`, `5m`, `0.5s`."""
    seconds = value.total_seconds()
    if seconds == 0:
        return "0"
    parts = []
    for unit in ("h", "m"):
        whole, seconds = divmod(seconds, _UNIT_SECONDS[unit])
        if whole:
            parts.append(f"{whole:.0f}{unit}")
    if seconds:
        parts.append(f"{seconds:g}s")
    return "".join(parts)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
"""A duration; written in Go's format in the environment."""

PositiveDuration = Annotated[Duration, Gt(timedelta())]
"""A duration greater than 0."""


class Origin(enum.Enum):
    """Where the value of a setting came from, by descending precedence."""

    ARGUMENT = "argument"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class _FileSource(EnvSettingsSource):
    """The values from the settings file. Ignores variables of other programs.

    SECURITY: the file is read once. pydantic's own source treats a file that was deleted in the meantime as empty,
    although it may have turned telemetry off.
    """

    def __init__(self, settings: type[BaseSettings], values: Mapping[str, str]) -> None:
        self._values = values
        super().__init__(settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._values, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)


def _file_source(settings: type[BaseSettings]) -> _FileSource:
    try:
        return _FileSource(settings, file_settings(os.environ))
    except SettingsFileError as error:
        fault = (error.field, error.problem)
    raise InvalidSettingsError([fault])


def variables_named(prefix: str) -> SettingsConfigDict:
    """Return the configuration of settings whose variables are the prefix and the field's name, in capitals.

    Not pydantic's `env_prefix`: it would rename the variables of inherited fields, too. A field that names its variable
    keeps it.
    """
    return SettingsConfigDict(alias_generator=AliasGenerator(validation_alias=lambda field: prefix + field.upper()))


class EnvironmentSettings(BaseSettings):
    """Base class for the settings of a program.

    Arguments override the environment, which overrides the settings file. An empty variable counts as not set.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - reads .env in the current folder
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - folders of secrets are not supported
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of values, by descending precedence."""
        return init_settings, env_settings, _file_source(settings_cls)

    @classmethod
    def origins(cls, **arguments: Any) -> dict[str, Origin]:
        """Return, for each field, where `load` would take its value from now.

        Raises:
            InvalidSettingsError: The settings file cannot be read.
        """
        environment, file = EnvSettingsSource(cls)(), _file_source(cls)()

        def origin(field: str) -> Origin:
            if arguments.get(field) is not None:
                return Origin.ARGUMENT
            variable = cls.variable_of(field)
            if variable in environment:
                return Origin.ENVIRONMENT
            return Origin.FILE if variable in file else Origin.DEFAULT

        return {field: origin(field) for field in cls.model_fields}

    @classmethod
    def load(cls, **arguments: Any) -> Self:
        """Read the environment and the settings file once. Arguments that are not None override both.

        Raises:
            InvalidSettingsError: One or more settings are invalid. The message names each of them.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            faults = [named for fault in error.errors(include_input=False) for named in cls._name(fault)]
        raise InvalidSettingsError(faults)

    @classmethod
    def checked(cls, given: Self) -> Self:
        """Return settings that a caller gave.

        Raises:
            InvalidSettingsError: They are not settings of this program, such as a dict.
        """
        if isinstance(given, cls):
            return given
        problem = f"must be {cls.__name__}, not {type(given).__name__}; make them with {cls.__name__}.load(...)"
        raise InvalidSettingsError([(_ALL, problem)])

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        faults = [(self.variable_of(field), problem) for field, problem in self._faults_together()]
        if faults:
            raise InvalidSettingsError(faults)
        return self

    def _faults_together(self) -> Iterable[tuple[str, str]]:
        """Return the faults of settings that contradict each other, each with its field."""
        return ()

    @classmethod
    def variable_of(cls, field: str) -> str:
        """Return the environment variable that sets a field."""
        return str(cls.model_fields[field].validation_alias or field)

    @classmethod
    def _name(cls, fault: Any) -> Sequence[tuple[str, str]]:
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, InvalidSettingsError):  # from _check_together
            return cause.faults
        name = str(fault["loc"][0]) if fault["loc"] else _ALL
        message = str(fault["msg"]).removeprefix("Value error, ")
        return [(cls.variable_of(name) if name in cls.model_fields else name, message[:1].lower() + message[1:])]
