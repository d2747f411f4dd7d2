"""Settings from the environment and the settings file: frozen values, made once at the edge, every fault told at once.

Import this only where a process starts: nothing below the edge reads the environment.
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
    """Settings break their rules; the text has a line for each fault, and no value.

    Attributes:
        faults: For each fault, the variable's name and what is wrong.
    """

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        # "settings" is what a fault of no single variable is called.
        lines = [problem if name == _ALL else f"{name}: {problem}" for name, problem in self.faults]
        super().__init__(_ALL, lines[0] if len(lines) == 1 else f"{len(lines)} faults\n  " + "\n  ".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets the error cross process borders whole."""
        return type(self), (self.faults,)


def parse_duration(value: object) -> object:
    """Reads a duration in Go's style: `300ms`, `5m`, `1h30m`, `0`. Anything but text passes as it is.

    Raises:
        ValueError: The text is none.
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
        raise ValueError("is longer than any duration can be") from None


def format_duration(value: timedelta) -> str:
    """Returns a duration in Go's style, for people: `1h30m`, `5m`, `0.5s`."""
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
"""A duration; in the environment in Go's style."""

PositiveDuration = Annotated[Duration, Gt(timedelta())]
"""One above 0."""


class Origin(enum.Enum):
    """Where a setting's value came from, the strongest first."""

    ARGUMENT = "argument"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class _FileSource(EnvSettingsSource):
    """What the settings file sets. Names of other programs' settings are passed over.

    SECURITY: it is read once. pydantic's own source takes a file that is gone, by the time it looks, for one that sets
    nothing; it may have said `off`.
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
    """Base of the settings of one program.

    Arguments win over the environment, the environment over the settings file; empty means not set.
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
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - it reads the current folder's .env
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - nothing is kept in a folder of secrets
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns where values come from, the strongest first."""
        return init_settings, env_settings, _file_source(settings_cls)

    @classmethod
    def origins(cls, **arguments: Any) -> dict[str, Origin]:
        """Returns for each field where `load` would take its value from, now.

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
        """Reads the environment and the settings file once, under the arguments that are not None.

        Raises:
            InvalidSettingsError: One or more settings break their rules; names every one of them.
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
        """Returns the faults of settings that do not go together, each with its field."""
        return ()

    @classmethod
    def variable_of(cls, field: str) -> str:
        """Returns the environment variable behind a field."""
        return str(cls.model_fields[field].validation_alias or field)

    @classmethod
    def _name(cls, fault: Any) -> Sequence[tuple[str, str]]:
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, InvalidSettingsError):  # settings that do not go together
            return cause.faults
        name = str(fault["loc"][0]) if fault["loc"] else _ALL
        message = str(fault["msg"]).removeprefix("Value error, ")
        return [(cls.variable_of(name) if name in cls.model_fields else name, message[:1].lower() + message[1:])]
