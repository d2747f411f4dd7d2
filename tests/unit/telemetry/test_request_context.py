"""Requests set the context of their events, and never fail because of it."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from structlog.testing import capture_logs

from telemetry import Client, EventContext, current_context, event_context
from telemetry.web import asgi, wsgi
from telemetry.web.request_context import RequestContext, RequestHeaders

CANARY = "CANARY-31ce"
HEADERS = RequestHeaders(client="X-Client", country="X-Country")
ANONYMOUS = "X-Sourcegraph-Actor-Anonymous-UID"
INTERACTION = "X-Sourcegraph-Interaction-ID"


def under_asgi(sent: Mapping[str, str], **options: Any) -> EventContext:
    seen: list[EventContext] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        seen.append(current_context())

    async def unused(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "http", "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in sent.items()]}
    asyncio.run(asgi.TelemetryContextMiddleware(app, **options)(scope, unused, unused))
    return seen[0]


def under_wsgi(sent: Mapping[str, str], **options: Any) -> EventContext:
    seen: list[EventContext] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield b"first"
        seen.append(current_context())  # while the response is streamed

    environ: dict[str, Any] = {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in sent.items()}
    setup_testing_defaults(environ)
    assert list(wsgi.TelemetryContextMiddleware(app, **options)(environ, lambda *_: None)) == [b"first"]
    return seen[0]


@pytest.mark.parametrize("under", [under_asgi, under_wsgi])
class TestBoth:
    def test_headers_and_identify(self, under: Any) -> None:
        context = under(
            {ANONYMOUS: "anonymous-1", INTERACTION: "interaction-1", "X-Client": "web/3.2", "X-Country": "de"},
            headers=HEADERS,
            identify=lambda request: {"user_id": 7, "feature_flags": {"new": True}, "interaction_id": "mine"},
        )
        assert (context.user_id, context.anonymous_user_id, context.interaction_id) == (7, "anonymous-1", "mine")
        assert (context.client, context.country_code) == (Client("web", "3.2"), "DE")
        assert context.template.feature_flags.flags["new"] == "true"
        assert current_context() == EventContext()

    def test_only_configured_headers_are_read(self, under: Any) -> None:
        context = under({"X-Client": "web", "X-Country": "DE", "CF-IPCountry": "DE", "X-Forwarded-For": "1.2.3.4"})
        assert context == EventContext()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            (ANONYMOUS, "x" * 513), (ANONYMOUS, "nul\0"), (ANONYMOUS, ""), ("X-Country", "Germany"),
            ("X-Country", "1"), ("X-Client", "/3.2"),
        ],
    )  # fmt: skip
    def test_unstorable_headers_are_ignored(self, under: Any, name: str, value: str) -> None:
        assert under({name: value}, headers=HEADERS) == EventContext()

    def test_a_client_without_a_version(self, under: Any) -> None:
        assert under({"X-Client": "web"}, headers=HEADERS).client == Client("web")

    @pytest.mark.parametrize("answer", [{"user_id": CANARY}, {CANARY: 1}, 5, None])
    def test_an_invalid_identify_result_does_not_affect_the_request(self, under: Any, answer: Any) -> None:
        with capture_logs() as logs:
            context = under({ANONYMOUS: "a"}, identify=lambda request: answer)
        assert context.anonymous_user_id == "a"
        assert context.user_id is None
        assert len(logs) == (answer is not None)
        assert CANARY not in str(logs)

    def test_a_failing_identify_does_not_affect_the_request(self, under: Any) -> None:
        def fails(request: Any) -> Any:
            raise RuntimeError(CANARY)

        with capture_logs() as logs:
            assert under({ANONYMOUS: "a"}, identify=fails).anonymous_user_id == "a"
        assert [(line["event"], line["error"]) for line in logs] == [("request not identified", "RuntimeError")]


def test_identify_is_called_when_an_event_is_recorded() -> None:
    asked: list[Any] = []

    def identify(environ: Any) -> Any:
        asked.append(environ)
        return {"user_id": environ.get("signed-in")}

    def app(environ: Any, start_response: Any) -> list[bytes]:
        assert asked == []
        contexts = [current_context(), current_context()]
        environ["signed-in"] = 7
        contexts.append(current_context())
        assert [context.user_id for context in contexts] == [None, None, 7]
        assert contexts[0] is contexts[1]
        with event_context(interaction_id="inner"):
            assert (current_context().user_id, current_context().interaction_id) == (7, "inner")
        return [b"whole"]

    middleware = wsgi.TelemetryContextMiddleware(app, identify=identify)
    assert list(middleware({}, lambda *_: None)) == [b"whole"]
    assert len(asked) == 4


def test_flags_that_are_added_to_the_same_mapping_are_seen() -> None:
    flags = {"first": True}
    requests = RequestContext[object](identify=lambda _request: {"feature_flags": flags})
    source = requests.of(lambda _name: None, object())
    assert dict(source().template.feature_flags.flags) == {"first": "true"}
    flags["second"] = False
    assert dict(source().template.feature_flags.flags) == {"first": "true", "second": "false"}
    assert source() is source()  # rebuilt only after a change


def test_asgi_ignores_other_scopes() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    async def unused(*_: Any) -> Any:
        raise AssertionError

    scope = {"type": "lifespan"}
    asyncio.run(asgi.TelemetryContextMiddleware(app)(scope, unused, unused))
    assert seen == [scope]


def test_asgi_uses_the_first_of_equal_headers() -> None:
    seen: list[EventContext] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current_context())

    async def unused(*_: Any) -> Any:
        raise AssertionError

    name = INTERACTION.lower().encode()
    scope = {"type": "websocket", "headers": [(name, b"first"), (name, b"second")]}
    asyncio.run(asgi.TelemetryContextMiddleware(app)(scope, unused, unused))
    assert seen[0].interaction_id == "first"


def test_wsgi_closes_the_response_in_its_context() -> None:
    seen: list[Any] = []

    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"whole"])

        def close(self) -> None:
            seen.append(current_context().user_id)

    middleware = wsgi.TelemetryContextMiddleware(
        lambda environ, start: Answer(), identify=lambda environ: {"user_id": 7}
    )
    answer: Any = middleware({}, lambda *_: None)
    assert list(answer) == [b"whole"]
    answer.close()
    assert seen == [7]
    without_close: Any = wsgi.TelemetryContextMiddleware(lambda environ, start: [b"x"])({}, lambda *_: None)
    assert list(without_close) == [b"x"]
    without_close.close()


def test_requests_do_not_see_each_other() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.01)
        assert current_context().user_id == scope["number"]

    async def unused(*_: Any) -> Any:
        raise AssertionError

    async def many() -> None:
        middleware = asgi.TelemetryContextMiddleware(app, identify=lambda scope: {"user_id": scope["number"]})
        scopes = ({"type": "http", "headers": [], "number": number} for number in range(20))
        await asyncio.gather(*(middleware(scope, unused, unused) for scope in scopes))

    asyncio.run(many())
