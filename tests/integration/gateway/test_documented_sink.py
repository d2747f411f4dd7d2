"""The example sink in docs/how-to/run-a-gateway.md works as written."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from support.gateway_client import event, send
from support.gateway_server import running_gateway
from telemetry_gateway import GatewaySettings, Message, SinkError

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "run-a-gateway.md"


@pytest.fixture
def example() -> dict[str, Any]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_it_publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    sent = event()

    sink = example["make"](GatewaySettings.load())
    with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
        assert send(channel, [sent]).succeeded == [sent.id]

    database = sqlite3.connect("events.db")
    assert database.execute("SELECT id, feature FROM events").fetchall() == [(sent.id, "search.results")]
    database.close()


def test_it_reports_failures(tmp_path: Path, example: dict[str, Any]) -> None:
    sink = example["SqliteSink"](str(tmp_path / "events.db"))
    sink._database.execute("DROP TABLE events")

    with pytest.raises(SinkError, match="SQLite: SQLITE_ERROR"):
        sink.publish([Message("p", "id", {"event.feature": "f"}, b"{}")])

    assert (list(sink.published_since("", 0)), sink.position) == ([], "")
    sink.close()


def test_every_variable_on_the_page_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    known = {GatewaySettings.variable_of(field) for field in GatewaySettings.model_fields}
    prefix = "TELEMETRY_GATEWAY_"

    named = set(re.findall(rf"{prefix}[A-Z_]+", text))
    short = {prefix + name for name in re.findall(r"`_([A-Z_]+)", text)}

    assert named
    assert short
    assert named | short <= known
