"""Sinks from other packages, found by entry point."""

from pathlib import Path

import pytest

from support.gateway_client import event, send
from support.gateway_server import running_gateway
from telemetry_gateway import GatewayServer, GatewaySettings, SinkError

PACKAGE = """
from support.gateway_sinks import MemorySink

made = []

def make(settings):
    made.append((settings.sink_plugin, MemorySink()))
    return made[-1][1]

def make_nothing(settings):
    return object()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the metadata of a package with entry points."""
    site = tmp_path / "site"
    information = site / "telemetry_sink_of_a_test-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: telemetry-sink-of-a-test\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[telemetry.gateway.sinks]\nmemory = sink_of_a_test:make\nnothing = sink_of_a_test:make_nothing\n"
    )
    (site / "sink_of_a_test.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.mark.usefixtures("package")
def test_messages_are_published_to_a_plugin(tmp_path: Path) -> None:
    sent = event()

    with running_gateway(tmp_path, sink="plugin", sink_plugin="memory") as gateway, gateway.channel() as channel:
        assert send(channel, [sent]).succeeded == [sent.id]

    import sink_of_a_test  # type: ignore[import-not-found]  # noqa: PLC0415

    name, sink = sink_of_a_test.made[-1]
    assert (name, sink.ids(), sink.closed) == ("memory", [sent.id], True)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("unknown", r"entry points found: memory, nothing"),
        ("nothing", "does not return a valid sink: it lacks publish, published_since"),
    ],
)
def test_an_unknown_or_invalid_plugin_is_reported(tmp_path: Path, name: str, problem: str) -> None:
    settings = GatewaySettings.load(
        sink="plugin", sink_plugin=name, deduplication_file=tmp_path / "deduplication.db", listen_addr="127.0.0.1:0"
    )
    with pytest.raises(SinkError, match=problem):
        GatewayServer(settings)


def test_a_missing_nats_library_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "telemetry_gateway.sinks.jetstream", None)
    settings = GatewaySettings.load(sink="nats", deduplication_file=tmp_path / "deduplication.db")

    with pytest.raises(SinkError, match=r"pip install 'telemetry-recorder\[nats\]'"):
        GatewayServer(settings)
