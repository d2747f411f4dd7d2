"""Write the reference pages from the code, so that they always match it.

python tools/generate_reference.py           # write
python tools/generate_reference.py --check   # exit with 1 if the committed pages differ
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from commands_page import render_commands
from export.settings import ExporterSettings
from metrics_page import render_metrics
from recorder.settings import RecorderSettings
from telemetry_admin.settings import AdminSettings
from telemetry_gateway.settings import GatewaySettings
from telemetry_ingest import IngestSettings
from telemetry_runtime.privacy_settings import PrivacySettings
from telemetry_runtime.settings import EnvironmentSettings, format_duration

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"

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
    (
        "Ingest",
        "Read by `telemetry ingest serve` and `create_app`; so is what recorders read.",
        IngestSettings,
        RecorderSettings,
    ),
    ("The admin page", "Read by `telemetry admin serve`.", AdminSettings, PrivacySettings),
)


def render_settings() -> str:
    """Return the page of settings."""
    lines = [
        "# Settings",
        "",
        "Generated from the code by `make docs`; do not edit. Every setting is an environment variable; an empty",
        "one counts as not set. Arguments, in code or on the command line, win over the environment. Errors are",
        "reported all at once when a program starts. Durations are written as in Go: `30s`, `5m`, `1h30m`, `0`.",
        "",
        "`TELEMETRY_SETTINGS_FILE` names a file of such settings in dotenv form (`NAME=value`, a line each). The",
        "environment wins over it. No file is read unless it is named; a named file must exist.",
        "`telemetry mode` writes to it, `telemetry config show` shows where each value came from.",
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
    # The bounds of an optional setting are inside its union with None.
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


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": render_settings,
    "commands.md": render_commands,
    "metrics.md": render_metrics,
}


def main() -> int:
    """Write the pages, or compare them with `--check`."""
    stale = 0
    for name, render in PAGES.items():
        page, target = render(), REFERENCE / name
        if "--check" not in sys.argv[1:]:
            target.write_text(page)
        elif not target.exists() or target.read_text() != page:
            print(f"{target} is stale; run `make docs` and commit", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
