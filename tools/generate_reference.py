"""Writes the reference of settings from the code, so that it cannot tell anything else.

python tools/generate_reference.py           # write
python tools/generate_reference.py --check   # exit 1 when what is committed differs
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from export.settings import ExporterSettings
from gateway.settings import GatewaySettings
from recorder.settings import PrivacySettings, RecorderSettings
from telemetry.settings import EnvironmentSettings, format_duration

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"

PROGRAMS: tuple[tuple[str, str, type[EnvironmentSettings], type[EnvironmentSettings] | None], ...] = (
    (
        "What may leave",
        "Read by every process that records or exports. Give all of them the same values.",
        PrivacySettings,
        None,
    ),
    ("Recording", "Read by `Recorder.from_url` and `Recorder.from_engine`.", RecorderSettings, PrivacySettings),
    ("Exporting", "Read by `telemetry export` and `ExportJobs`.", ExporterSettings, PrivacySettings),
    ("The gateway", "Read by `telemetry gateway serve`.", GatewaySettings, None),
)


def render() -> str:
    """Returns the page."""
    lines = [
        "# Settings",
        "",
        "Generated from the code by `make docs`; do not edit. Every setting is an environment variable; an empty",
        "one counts as not set. Arguments, in code or on the command line, win over the environment. Faults are",
        "reported all at once when a program starts. Durations are written as in Go: `30s`, `5m`, `1h30m`, `0`.",
        "",
        "`TELEMETRY_SETTINGS_FILE` names a file of such settings in dotenv form (`NAME=value`, a line each). The",
        "environment wins over it. No file is read unless it is named; one that is named must be there.",
        "`telemetry mode` writes to it, `telemetry config show` tells where each value came from.",
    ]
    for title, text, settings, base in PROGRAMS:
        inherited = set() if base is None else set(base.model_fields)
        lines += [
            "",
            f"## {title}",
            "",
            text,
            "",
            "| variable | default | bounds | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for name, field in settings.model_fields.items():
            if name not in inherited:
                lines.append(
                    f"| `{settings.variable_of(name)}` | {_value(field.default)} | {_bounds(field)} "
                    f"| {(field.description or '').replace('|', chr(92) + '|')} |"
                )
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if isinstance(value, Enum):
        value = value.value
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(field: FieldInfo) -> str:
    # The bounds of an optional setting stand inside its union with None.
    inner = [limit for part in get_args(field.annotation) for limit in getattr(part, "__metadata__", ())]
    return ", ".join(_limits([*field.metadata, *inner]))


def _limits(metadata: Iterable[Any]) -> Iterator[str]:
    for limit in metadata:
        if isinstance(limit, Ge):
            yield f"at least {_value(limit.ge).strip('`')}"
        elif isinstance(limit, Gt):
            yield f"above {_value(limit.gt).strip('`')}"
        elif isinstance(limit, Le):
            yield f"at most {_value(limit.le).strip('`')}"


def main() -> int:
    """Writes the page, or with `--check` compares it."""
    page = render()
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text() == page:
            return 0
        print(f"{TARGET} is stale; run `make docs` and commit", file=sys.stderr)
        return 1
    TARGET.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
