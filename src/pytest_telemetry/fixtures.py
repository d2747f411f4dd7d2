"""The fixtures, and the marker that lets a test write to a real queue.

Each fixture imports what it needs only when a test requests it, because pytest loads this file in every run.
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
    """Let recorders write to their databases in a marked test, and in its function-scoped fixtures.

    Not in fixtures of a wider scope that happen to be set up or torn down with it: other tests use them, too.
    """
    if not _is_marked(request.node) or foreign_package() is not None:
        yield
        return
    from recorder import divert_events

    with divert_events(None):
        yield


@pytest.fixture
def telemetry_events(request: pytest.FixtureRequest) -> Iterator["TelemetryEvents"]:
    """Provide the events recorded during the test, by any recorder of this process."""
    with _project("telemetry_events"):
        from recorder import divert_events
        from telemetry_testing.capture import Capture
        from telemetry_testing.telemetry_events import TelemetryEvents
    events = TelemetryEvents()
    with divert_events(Capture(events, store_too=_may_write(request.node))):
        yield events


@pytest.fixture
def telemetry_recorder(request: pytest.FixtureRequest, telemetry_events: "TelemetryEvents") -> "Recorder":  # noqa: ARG001 - it captures
    """Provide a recorder without a database. What it records is in `telemetry_events`."""
    from recorder import Recorder
    from telemetry import Allowlist, Redactor, parse_allowlist
    from telemetry_testing.capture import NoStore

    named = str(request.config.getini(ALLOWLIST_FILE))
    file = request.config.rootpath / named
    allowlist = Allowlist(parse_allowlist(file.read_text(encoding="utf-8"), named)) if named else None
    return Recorder(NoStore(Redactor(allowlist)), service_version="0.0.0")


@pytest.fixture
def telemetry_gateway() -> Iterator["ScriptedGateway"]:
    """Provide a gateway on loopback, without TLS, that acknowledges every event until it gets another script."""
    with _project("telemetry_gateway"):
        from telemetry_testing.scripted_server import scripted_gateway
    with scripted_gateway() as gateway:
        yield gateway


@pytest.fixture
def telemetry_network(telemetry_gateway: "ScriptedGateway") -> Iterator["FaultProxy"]:
    """Provide a proxy to that gateway, at `address` (`host:port`). It adds no fault until the test calls `inflict`."""
    from telemetry_testing.fault_proxy import FaultProxy

    host, _, port = telemetry_gateway.address.removeprefix("http://").rpartition(":")
    proxy = FaultProxy((host, int(port)), seed=0)
    proxy.healthy.set()
    yield proxy
    proxy.close()


@contextmanager
def _project(fixture: str) -> Generator[None]:
    """Fail a test in one line where an import would find another project's package, or gRPC is not installed."""
    foreign = foreign_package()
    if foreign is not None:
        pytest.fail(f"the fixture {fixture} is disabled, because {foreign}", pytrace=False)
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
