"""The fixtures, and the mark that lets a test write to a real queue.

Each imports what it needs when a test asks for it: pytest loads this file in every run, whatever is tested.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_telemetry.ownership import foreign_package
from pytest_telemetry.plugin import ALLOWLIST_FILE, DATABASE

if TYPE_CHECKING:
    from recorder import Recorder
    from telemetry_testing import FaultProxy, ScriptedGateway, TelemetryEvents


@pytest.fixture(autouse=True)
def _telemetry_writes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let recorders write in a test that is marked, and in its own fixtures.

    Not in fixtures of a wider scope, which happen to begin or to end with it: they belong to other tests, too.
    """
    if not _is_marked(request.node) or foreign_package() is not None:
        yield
        return
    from recorder import divert_events

    with divert_events(None):
        yield


@pytest.fixture
def telemetry_events(request: pytest.FixtureRequest) -> Iterator["TelemetryEvents"]:
    """What is recorded during the test, with any recorder of this process."""
    with _project("telemetry_events"):
        from recorder import divert_events
        from telemetry_testing.capture import Capture
        from telemetry_testing.telemetry_events import TelemetryEvents
    events = TelemetryEvents()
    with divert_events(Capture(events, store_too=_may_write(request.node))):
        yield events


@pytest.fixture
def telemetry_recorder(request: pytest.FixtureRequest, telemetry_events: "TelemetryEvents") -> "Recorder":  # noqa: ARG001 - it captures
    """A recorder to hand to code that is given one. It has no database; what it records is in `telemetry_events`."""
    from recorder import Recorder
    from telemetry import Allowlist, Redactor, parse_allowlist
    from telemetry_testing.capture import NoStore

    named = str(request.config.getini(ALLOWLIST_FILE))
    file = request.config.rootpath / named
    allowlist = Allowlist(parse_allowlist(file.read_text(encoding="utf-8"), named)) if named else None
    return Recorder(NoStore(Redactor(allowlist)), service_version="0.0.0")


@pytest.fixture
def telemetry_gateway() -> Iterator["ScriptedGateway"]:
    """A gateway on loopback, in plain text, that acknowledges everything until it is given another script."""
    with _project("telemetry_gateway"):
        from telemetry_testing.scripted_gateway import scripted_gateway
    with scripted_gateway() as gateway:
        yield gateway


@pytest.fixture
def telemetry_network(telemetry_gateway: "ScriptedGateway") -> Iterator["FaultProxy"]:
    """A network before that gateway, `host:port` as its `address`: well, until the test says `inflict`."""
    from telemetry_testing.fault_proxy import FaultProxy

    host, _, port = telemetry_gateway.address.removeprefix("http://").rpartition(":")
    proxy = FaultProxy((host, int(port)), seed=0)
    proxy.healthy.set()
    yield proxy
    proxy.close()


@contextmanager
def _project(fixture: str) -> Generator[None]:
    """Fail a test in one line where the fixture's imports would meet another project's package, or lack one."""
    foreign = foreign_package()
    if foreign is not None:
        pytest.fail(f"the fixture {fixture} is off, because {foreign}", pytrace=False)
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "grpc":
            raise
        pytest.fail(f"the fixture {fixture} needs gRPC: pip install 'telemetry-recorder[export]'", pytrace=False)


def _is_marked(item: pytest.Item) -> bool:
    return item.get_closest_marker(DATABASE) is not None


def _may_write(item: pytest.Item) -> bool:
    return bool(item.config.getini(DATABASE)) or _is_marked(item)
