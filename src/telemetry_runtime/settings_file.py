"""The settings file: what an operator wrote down, in dotenv form, under the environment.

It is read only where `TELEMETRY_SETTINGS_FILE` names it. A file that happens to lie in the current
folder must not decide what leaves.
"""

import os
import tempfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from telemetry.errors import InvalidInputError

SETTINGS_FILE_VARIABLE: Final = "TELEMETRY_SETTINGS_FILE"


class SettingsFileError(InvalidInputError):
    """The settings file cannot be read or written, or a line of it sets nothing; the text never holds a value."""

    def __init__(self, problem: str) -> None:
        super().__init__(SETTINGS_FILE_VARIABLE, problem)

    def __reduce__(self) -> tuple[type["SettingsFileError"], tuple[str]]:  # type: ignore[override]
        """Lets the error cross process borders whole."""
        return type(self), (self.problem,)


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """Returns the file that the environment names; None where it names none."""
    named = environ.get(SETTINGS_FILE_VARIABLE, "").strip()
    return Path(named).expanduser() if named else None


def file_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns what the file that the environment names sets, by name; nothing where it names none.

    Raises:
        SettingsFileError: It cannot be read, or holds a line that sets nothing.
    """
    path = settings_file(environ)
    return {} if path is None else read_settings_file(path)


def read_settings_file(path: Path) -> dict[str, str]:
    """Returns what the file sets, by name.

    Raises:
        SettingsFileError: It cannot be read, or holds a line that sets nothing.
    """
    text = _read_text(path)
    # SECURITY: a line that is skipped in silence could be the one that says `off`.
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise SettingsFileError(f"{path}, line {binding.original.line}: must be of the form NAME=VALUE")
    return {name: value or "" for name, value in dotenv_values(stream=StringIO(text)).items()}


def write_setting(path: Path, name: str, value: str) -> None:
    """Sets one name in the file, which is made where there is none, and leaves the rest as it is.

    The file is replaced whole, with its owner and its permissions: who reads it meanwhile, or after a power cut,
    finds the old one or the new one. A new one is for its owner alone, because secrets may be kept in it.

    Args:
        path: The file.
        name: The setting's variable.
        value: A word that needs no quotes.

    Raises:
        SettingsFileError: It cannot be read or written.
    """
    real = Path(os.path.realpath(path))
    try:
        before = real.stat() if real.exists() else None
        lines = [] if before is None else _other_lines(_read_text(real), name)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=real.parent, prefix=f".{real.name}.", delete=False
        ) as new:
            try:
                new.write("".join([*lines, f"{name}={value}\n"]))
                new.flush()
                if before is not None:
                    os.fchown(new.fileno(), before.st_uid, before.st_gid)
                    os.fchmod(new.fileno(), before.st_mode & 0o777)
                os.fsync(new.fileno())
                Path(new.name).replace(real)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        problem = error.strerror or type(error).__name__
    else:
        return
    raise SettingsFileError(
        f"the settings file {path} cannot be written: {problem} (it is replaced whole, so its folder must be writable)"
    )


def _other_lines(text: str, name: str) -> list[str]:
    lines = [binding.original.string for binding in parse_stream(StringIO(text)) if binding.key != name]
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def _read_text(path: Path) -> str:
    try:
        # SECURITY: a file that is named and missing is an error. It may say that nothing leaves.
        if not path.exists():
            problem = "there is no such file; make it with: telemetry mode on"
        elif not path.is_file():
            problem = "is no regular file"
        else:
            return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    raise SettingsFileError(f"the settings file {path} cannot be read: {problem}")
