"""The fixtures, and the mark that lets a test write to a real queue."""

from collections.abc import Iterator

import pytest

from pytest_telemetry.plugin import ALLOWLIST_FILE, DATABASE
from recorder import Recorder, divert_events
from telemetry import Allowlist, Redactor, parse_allowlist
from telemetry_testing.capture import Capture, NoStore
from telemetry_testing.fault_proxy import FaultProxy
from telemetry_testing.scripted_gateway import ScriptedGateway, scripted_gateway
from telemetry_testing.telemetry_events import TelemetryEvents


@pytest.fixture(autouse=True)
def _telemetry_writes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets recorders write in a test that is marked, and in its own fixtures.

    Not in fixtures of a wider scope, which happen to begin or to end with it: they belong to other tests, too.
    """
    if not _may_write(request.node):
        yield
        return
    with divert_events(None):
        yield


@pytest.fixture
def telemetry_events(request: pytest.FixtureRequest) -> Iterator[TelemetryEvents]:
    """What is recorded during the test, with any recorder of this process."""
    events = TelemetryEvents()
    with divert_events(Capture(events, store_too=_may_write(request.node))):
        yield events


@pytest.fixture
def telemetry_recorder(request: pytest.FixtureRequest, telemetry_events: TelemetryEvents) -> Recorder:  # noqa: ARG001 - it captures
    """A recorder to hand to code that is given one. It has no database; what it records is in `telemetry_events`."""
    named = str(request.config.getini(ALLOWLIST_FILE))
    file = request.config.rootpath / named
    allowlist = Allowlist(parse_allowlist(file.read_text(encoding="utf-8"), named)) if named else None
    return Recorder(NoStore(Redactor(allowlist)), service_version="0.0.0")


@pytest.fixture
def telemetry_gateway() -> Iterator[ScriptedGateway]:
    """A gateway on loopback, in plain text, that acknowledges everything until it is given another script."""
    with scripted_gateway() as gateway:
        yield gateway


@pytest.fixture
def telemetry_network(telemetry_gateway: ScriptedGateway) -> Iterator[FaultProxy]:
    """A network before that gateway, `host:port` as its `address`: well, until the test says `inflict`."""
    host, _, port = telemetry_gateway.address.removeprefix("http://").rpartition(":")
    proxy = FaultProxy((host, int(port)), seed=0)
    proxy.healthy.set()
    yield proxy
    proxy.close()


def _may_write(item: pytest.Item) -> bool:
    return bool(item.config.getini(DATABASE)) or item.get_closest_marker(DATABASE) is not None
