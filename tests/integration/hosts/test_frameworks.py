"""Threads, tasks and streams of web frameworks keep the context of the request."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import flask
import httpx2
import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import HTTPConnection
from structlog.testing import capture_logs

from telemetry import EventContext, current_context
from telemetry.web import asgi, wsgi

INTERACTION = "X-Sourcegraph-Interaction-ID"

seen: list[EventContext] = []


def record() -> None:
    """Replace `recorder.record`, which reads the context where it is called."""
    seen.append(current_context())


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


class Backend(AuthenticationBackend):
    """Authenticates every request."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        return AuthCredentials(["authenticated"]), SimpleUser("7")


def user_of_scope(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"user_id": int(scope["user"].username)}


api = FastAPI()


@api.get("/thread")
def in_a_thread() -> None:
    record()


@api.get("/stream")
def stream() -> StreamingResponse:
    def parts() -> Iterator[str]:
        record()
        yield "part"
        record()

    return StreamingResponse(parts())


@api.get("/afterwards")
async def afterwards(tasks: BackgroundTasks) -> None:
    tasks.add_task(record)


@api.middleware("http")
async def host_middleware(request: Request, call_next: Any) -> Any:
    return await call_next(request)


# The telemetry middleware is the outermost one; the user is authenticated inside.
signed_in = asgi.TelemetryContextMiddleware(
    AuthenticationMiddleware(BaseHTTPMiddleware(api, dispatch=host_middleware), backend=Backend()),
    identify=user_of_scope,
)


@pytest.mark.parametrize(("path", "events"), [("/thread", 1), ("/stream", 2), ("/afterwards", 1)])
def test_threads_streams_and_background_tasks_of_fastapi(path: str, events: int) -> None:
    async def ask() -> None:
        transport = httpx2.ASGITransport(app=signed_in)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            responses = await asyncio.gather(*(client.get(path, headers={INTERACTION: f"i-{n}"}) for n in range(5)))
        assert {response.status_code for response in responses} == {200}

    asyncio.run(ask())
    assert sorted(str(context.interaction_id) for context in seen) == sorted([f"i-{n}" for n in range(5)] * events)
    assert {context.user_id for context in seen} == {7}
    assert current_context() == EventContext()


@pytest.fixture
def shop() -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = "tests"

    @app.get("/sign-in")
    def sign_in() -> str:
        record()
        flask.session["user_id"] = 7
        record()
        return "ok"

    @app.get("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            record()
            yield "part"

        return flask.Response(flask.stream_with_context(parts()))

    @app.get("/forgetful-stream")
    def forgetful_stream() -> flask.Response:
        def parts() -> Iterator[str]:
            record()
            yield "part"

        return flask.Response(parts())

    @app.teardown_request
    def teardown(_error: BaseException | None) -> None:
        if flask.request.path == "/sign-in":
            record()

    app.wsgi_app = wsgi.TelemetryContextMiddleware(  # type: ignore[method-assign]  # documented by Flask
        app.wsgi_app, identify=lambda _environ: {"user_id": flask.session.get("user_id")}
    )
    return app


def test_the_user_of_flasks_session(shop: flask.Flask) -> None:
    client = shop.test_client()
    client.get("/sign-in", headers={INTERACTION: "i"})
    assert [(context.user_id, context.interaction_id) for context in seen] == [(None, "i"), (7, "i"), (7, "i")]
    seen.clear()
    assert client.get("/stream", headers={INTERACTION: "j"}).data == b"part"
    assert [(context.user_id, context.interaction_id) for context in seen] == [(7, "j")]


def test_a_stream_without_flasks_context_has_the_headers(shop: flask.Flask) -> None:
    with capture_logs() as logs:
        assert shop.test_client().get("/forgetful-stream", headers={INTERACTION: "k"}).data == b"part"
    assert [(context.user_id, context.interaction_id) for context in seen] == [(None, "k")]
    assert [(line["event"], line["error"]) for line in logs] == [("request not identified", "RuntimeError")]
