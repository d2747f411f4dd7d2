import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from recorder import DatabaseBusyError
from telemetry import EventTooLargeError, NewEvent
from telemetry_ingest.collection import CollectionEndpoint, parse_packages

PACKAGES = """
[[package]]
name = "tool"
route = "/tool/{version}"
feature = "tool"
action = "run"
variables = { version = "why", os = "why", "a.b" = "why" }
approved_by = "x"
approved_on = 2026-01-31

[[package]]
name = "bare"
route = "/bare"
feature = "bare"
action = "ping"
approved_by = "x"
approved_on = 2026-01-31
"""


class FakeRecorder:
    def __init__(self) -> None:
        self.events: list[NewEvent] = []
        self.error: Exception | None = None

    async def batch_record(self, events: Iterable[NewEvent]) -> list[str]:
        if self.error is not None:
            raise self.error
        self.events += events
        return ["id"]


class FakeLimit:
    def retry_after(self, scope: Any) -> float | None:
        return 2.2


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Service:
    """An endpoint, called without a server."""

    recorder: FakeRecorder = field(default_factory=FakeRecorder)
    limit: FakeLimit | None = None

    def __post_init__(self) -> None:
        self.endpoint = CollectionEndpoint(
            parse_packages(PACKAGES), self.recorder, limit=self.limit, body_timeout=timedelta(seconds=0.2)
        )

    def ask(
        self, target: str, *, method: str = "POST", body: Sequence[bytes | None] = (), root_path: str = ""
    ) -> Answer | None:
        """Send a request with a body in parts; None is a disconnect, and after the last part the client stalls."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "raw_path": (root_path + path).encode(),
            "query_string": query.encode(),
            "root_path": root_path,
            "client": ("203.0.113.9", 1),
            "headers": [],
        }
        parts = list(body or [b""])
        sent: list[Any] = []

        async def receive() -> Any:
            if not parts:
                await asyncio.Event().wait()
            part = parts.pop(0)
            if part is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": part, "more_body": bool(parts) or len(part) == 1}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.endpoint(scope, receive, send))
        if not sent:
            return None
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:]))

    def count(self, name: str, *labels: str) -> float:
        instrument = getattr(self.endpoint.metrics, name)
        return float(instrument.labels(*labels)._value.get())


@pytest.fixture
def service() -> Service:
    return Service()


def test_a_matching_request_is_recorded_before_the_response(service: Service) -> None:
    answer = service.ask("/tool/1.4?os=linux&who=me", body=[b'{"a": {"b": 5, ', b'"c": 1}}'])
    assert answer == Answer(204, {}, b"")
    (event,) = service.recorder.events
    assert (event.feature, event.action) == ("tool", "run")
    assert event.parameters is not None
    assert event.parameters.private_metadata == {"version": "1.4", "os": "linux", "a.b": "5"}
    assert event.parameters.metadata is None
    assert event.context is not None
    assert event.context.client is not None
    assert event.context.client.name == "tool"
    assert service.count("requests", "tool", "recorded") == 1
    assert service.count("variables", "tool", "undeclared") == 2
    assert service.count("variables", "tool", "unstorable") == 0
    assert service.count("partial_bodies", "tool") == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_ping_without_variables_is_recorded(service: Service, method: str) -> None:
    answer = service.ask("/bare/", method=method)
    assert answer is not None
    assert answer.status == 204
    assert [event.parameters for event in service.recorder.events] == [None]


def test_a_truncated_body_is_kept_partially_and_counted(service: Service) -> None:
    answer = service.ask("/tool/1", body=[b'{"os": "linux", "a": {"b'])
    assert answer is not None
    assert answer.status == 204
    answer = service.ask("/tool/1%00", body=[b"no JSON at all"])
    assert answer is not None
    assert answer.status == 204
    kept = [event.parameters and event.parameters.private_metadata for event in service.recorder.events]
    assert kept == [{"version": "1", "os": "linux"}, None]
    assert service.count("partial_bodies", "tool") == 2
    assert service.count("variables", "tool", "unstorable") == 1


def test_an_unmatched_request_is_dropped_and_counted(service: Service) -> None:
    for target in ("/", "/tool", "/tool/1/2", "/tool/", "/other?version=1"):
        assert service.ask(target) == Answer(204, {}, b"")
    assert service.recorder.events == []
    assert service.count("requests", "", "unmatched") == 5


def test_the_mount_path_is_removed_before_matching(service: Service) -> None:
    service.ask("/tool/2", root_path="/telemetry")
    assert len(service.recorder.events) == 1


def test_other_methods_are_rejected(service: Service) -> None:
    assert service.ask("/bare", method="PUT") == Answer(405, {"allow": "GET, POST", "content-length": "0"}, b"")
    assert service.recorder.events == []


def test_a_body_over_64_kib_is_rejected(service: Service) -> None:
    answer = service.ask("/bare", body=[b"x" * 65_536, b"xx"])
    assert answer == Answer(413, {"connection": "close", "content-length": "0"}, b"")
    assert service.count("requests", "", "too_large") == 1
    exactly = service.ask("/bare", body=[b"x" * 65_534, b"xx"])
    assert exactly is not None
    assert exactly.status == 204


def test_a_too_large_event_is_rejected(service: Service) -> None:
    service.recorder.error = EventTooLargeError("event", "is 70000 bytes serialized, more than 65536")
    assert service.ask("/bare") == Answer(413, {"content-length": "0"}, b"")
    assert service.count("requests", "bare", "too_large") == 1


def test_a_slow_body_times_out(service: Service) -> None:
    answer = service.ask("/bare", body=[b"x"])
    assert answer == Answer(408, {"connection": "close", "content-length": "0"}, b"")
    assert service.recorder.events == []


def test_a_disconnected_client_gets_no_response(service: Service) -> None:
    assert service.ask("/bare", body=[b"x", None]) is None
    assert service.recorder.events == []


def test_a_rate_limited_client_gets_retry_after() -> None:
    service = Service(limit=FakeLimit())
    assert service.ask("/bare") == Answer(429, {"retry-after": "3", "content-length": "0"}, b"")
    assert service.recorder.events == []
    assert service.count("requests", "", "limited") == 1


def test_a_storage_failure_gets_status_503_and_is_logged_once(service: Service) -> None:
    service.recorder.error = DatabaseBusyError("the database stayed locked")
    with capture_logs() as log:
        answers = [service.ask("/tool/SECRET") for _ in range(3)]
        service.recorder.error = None
        answers += [service.ask("/tool/1") for _ in range(2)]
    assert [answer and answer.status for answer in answers] == [503, 503, 503, 204, 204]
    assert [(line["event"], line["log_level"]) for line in log] == [
        ("pings cannot be stored, and are answered 503", "error"),
        ("pings are stored again", "info"),
    ]
    assert "SECRET" not in str(log)
    assert service.count("requests", "tool", "failed") == 3


def test_only_http_requests_are_served(service: Service) -> None:
    with pytest.raises(ValueError, match="websocket"):
        asyncio.run(service.endpoint({"type": "websocket"}, None, None))  # type: ignore[arg-type]
