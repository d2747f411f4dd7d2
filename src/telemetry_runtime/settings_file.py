"""The settings file: settings in dotenv format, which environment variables override.

The file is read only if `TELEMETRY_SETTINGS_FILE` names it. A file that happens to be in the current folder must not
decide what leaves the instance.
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
    """The settings file cannot be read or written, or has an invalid line. The message never contains a value."""

    def __init__(self, problem: str) -> None:
        super().__init__(SETTINGS_FILE_VARIABLE, problem)

    def __reduce__(self) -> tuple[type["SettingsFileError"], tuple[str]]:  # type: ignore[override]
        """Support pickling."""
        return type(self), (self.problem,)


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """Return the path that the environment sets, or None if it sets none."""
    named = environ.get(SETTINGS_FILE_VARIABLE, "").strip()
    return Path(named).expanduser() if named else None


def file_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values in the file that the environment names, by variable; empty if it names no file.

    Raises:
        SettingsFileError: The file cannot be read, or has an invalid line.
    """
    path = settings_file(environ)
    return {} if path is None else read_settings_file(path)


def read_settings_file(path: Path) -> dict[str, str]:
    """Return the values in the file, by variable.

    Raises:
        SettingsFileError: The file cannot be read, or has an invalid line.
    """
    text = _read_text(path)
    # SECURITY: an invalid line is an error, because the line may be the one that turns telemetry off.
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise SettingsFileError(f"{path}, line {binding.original.line}: must be of the form NAME=VALUE")
    return {name: value or "" for name, value in dotenv_values(stream=StringIO(text)).items()}


def write_setting(path: Path, name: str, value: str) -> None:
    """Set one variable in the file and keep the other lines. Create the file if it does not exist.

    The file is replaced atomically and keeps its owner and permissions: during the change and after a power cut, a
    reader sees the old file or the new one. A new file is readable by its owner only, because it may contain secrets.

    Args:
        path: The file.
        name: The variable to set.
        value: A word that needs no quotes.

    Raises:
        SettingsFileError: The file cannot be read or written.
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
        f"the settings file {path} cannot be written: {problem} (its folder must be writable, as the file is replaced)"
    )


def _other_lines(text: str, name: str) -> list[str]:
    lines = [binding.original.string for binding in parse_stream(StringIO(text)) if binding.key != name]
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def _read_text(path: Path) -> str:
    try:
        # SECURITY: a configured file that is missing is an error, because it may have turned export off.
        if not path.exists():
            problem = "the file does not exist; create it with: telemetry mode on"
        elif not path.is_file():
            problem = "it is not a regular file"
        else:
            return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    raise SettingsFileError(f"the settings file {path} cannot be read: {problem}")
