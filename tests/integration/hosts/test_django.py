"""Events recorded in Django requests have the request's context: sync and async, also in streamed responses."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import alogin, get_user_model, login
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from structlog.testing import capture_logs

import telemetry
from telemetry import EventContext, current_context, event_context
from telemetry_django import TelemetryContextMiddleware

OURS = "telemetry_django.TelemetryContextMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
CANARY = "CANARY-77d0"
ANONYMOUS = {"X-Sourcegraph-Actor-Anonymous-UID": "anonymous-1", "X-Sourcegraph-Interaction-ID": "interaction-1"}

seen: list[EventContext] = []


def record() -> None:
    """Replace `recorder.record`, which reads the context where it is called."""
    seen.append(current_context())


def sync_view(request: HttpRequest) -> HttpResponse:
    record()
    return HttpResponse("ok")


async def async_view(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    record()
    return HttpResponse("ok")


def silent_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


def sync_stream(request: HttpRequest) -> HttpResponseBase:
    def parts() -> Iterator[str]:
        try:
            for _ in range(2):
                record()
                yield "part"
        finally:
            record()

    return StreamingHttpResponse(parts())


async def async_stream(request: HttpRequest) -> HttpResponseBase:
    async def parts() -> AsyncIterator[str]:
        for _ in range(2):
            await asyncio.sleep(0)
            record()
            yield "part"

    return StreamingHttpResponse(parts())


def file_view(request: HttpRequest) -> HttpResponseBase:
    return FileResponse(Path(__file__).open("rb"))


def sign_in(request: HttpRequest) -> HttpResponse:
    record()
    login(request, get_user_model().objects.get())
    record()
    return HttpResponse("ok")


async def sign_in_async(request: HttpRequest) -> HttpResponse:
    record()
    await alogin(request, await get_user_model().objects.aget())
    record()
    return HttpResponse("ok")


def failing_view(request: HttpRequest) -> HttpResponse:
    record()
    raise RuntimeError


def early(get_response: Any) -> Any:
    """A middleware that records before the view, under ASGI in the event loop."""

    def middleware(request: HttpRequest) -> HttpResponse:
        record()
        response: HttpResponse = get_response(request)
        return response

    async def async_middleware(request: HttpRequest) -> HttpResponse:
        record()
        response: HttpResponse = await get_response(request)
        return response

    return async_middleware if iscoroutinefunction(get_response) else middleware


early.async_capable = True  # type: ignore[attr-defined]  # declared for Django


def identify(request: HttpRequest) -> Mapping[str, Any]:
    return {"feature_flags": {"new-ranking": request.user.is_authenticated}}


def nonsense(request: HttpRequest) -> Mapping[str, Any]:
    return {CANARY: 1}


async def coroutine_identify(request: HttpRequest) -> Mapping[str, Any]:
    return {}


class Odd:
    """A user object of another library."""

    is_authenticated = True
    pk = "7e57"


def odd_user(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        request.user = Odd()
        return get_response(request)

    return middleware


urlpatterns = [
    path("sync", sync_view),
    path("async", async_view),
    path("silent", silent_view),
    path("sync-stream", sync_stream),
    path("async-stream", async_stream),
    path("file", file_view),
    path("sign-in", sign_in),
    path("sign-in-async", sign_in_async),
    path("failing", failing_view),
]


@pytest.fixture(scope="module", autouse=True)
def _django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    settings.configure(
        SECRET_KEY="tests",
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": tmp_path_factory.mktemp("django") / "app.db",
            }
        },
        MIDDLEWARE=[OURS, SESSIONS, AUTHENTICATION],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
    )
    sys.modules[__name__.rpartition(".")[2]] = sys.modules[__name__]
    django.setup()
    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user("ada", password="x")
    yield
    connections.close_all()


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


def user_id() -> int:
    found: int = get_user_model().objects.get().pk
    return found


def get(
    url: str, *, behind_asgi: bool, signed_in: bool = True, headers: Mapping[str, str] = ANONYMOUS
) -> HttpResponseBase:
    """Return the response to a request, read and closed in the same way as by a server."""
    client: Any = AsyncClient() if behind_asgi else Client()
    if signed_in:
        client.force_login(get_user_model().objects.get())

    async def over_asgi() -> HttpResponseBase:
        response = await client.get(url, headers=headers)
        if response.streaming:
            assert [part async for part in response] == [b"part", b"part"]
            await sync_to_async(response.close)()
        return response

    if behind_asgi:
        return asyncio.run(over_asgi())
    response = client.get(url, headers=headers)
    if response.streaming and url != "/file":
        assert list(response) == [b"part", b"part"]
    response.close()
    return response


@pytest.mark.parametrize("behind_asgi", [False, True])
class TestBothServers:
    @pytest.mark.parametrize("url", ["/sync", "/async"])
    def test_user_and_headers(self, behind_asgi: bool, url: str) -> None:
        assert get(url, behind_asgi=behind_asgi).status_code == 200
        (context,) = seen
        assert context == EventContext(
            user_id=user_id(), anonymous_user_id="anonymous-1", interaction_id="interaction-1"
        )
        assert current_context() == EventContext()

    @pytest.mark.parametrize("url", ["/sync", "/async"])
    def test_without_a_signed_in_user(self, behind_asgi: bool, url: str) -> None:
        get(url, behind_asgi=behind_asgi, signed_in=False)
        assert [(context.user_id, context.anonymous_user_id) for context in seen] == [(None, "anonymous-1")]

    def test_streamed_parts_have_the_context(self, behind_asgi: bool) -> None:
        get("/async-stream" if behind_asgi else "/sync-stream", behind_asgi=behind_asgi)
        assert [context.user_id for context in seen] == [user_id()] * (2 if behind_asgi else 3)

    def test_a_sign_in_changes_the_context_of_its_request(self, behind_asgi: bool) -> None:
        get("/sign-in-async" if behind_asgi else "/sign-in", behind_asgi=behind_asgi, signed_in=False)
        assert [context.user_id for context in seen] == [None, user_id()]

    @pytest.mark.parametrize("url", ["/sync", "/async"])
    def test_context_from_the_host(self, behind_asgi: bool, url: str) -> None:
        with override_settings(
            TELEMETRY_IDENTIFY=f"{__name__}.identify",
            TELEMETRY_REQUEST_HEADERS={"client": "X-Client", "country": "X-Country", "interaction_id": None},
        ):
            get(url, behind_asgi=behind_asgi, headers={**ANONYMOUS, "X-Client": "web/3.2", "X-Country": "de"})
        (context,) = seen
        assert context.feature_flags == {"new-ranking": True}
        assert (context.client, context.country_code) == (telemetry.Client("web", "3.2"), "DE")
        assert (context.user_id, context.interaction_id) == (user_id(), None)

    def test_an_invalid_context_from_the_host_does_not_affect_the_request(self, behind_asgi: bool) -> None:
        with override_settings(TELEMETRY_IDENTIFY=nonsense), capture_logs() as logs:
            assert get("/sync", behind_asgi=behind_asgi).status_code == 200
        assert seen[0].anonymous_user_id == "anonymous-1"
        assert [line["event"] for line in logs] == ["request context without what identify returned"]
        assert CANARY not in str(logs)

    def test_an_id_that_is_not_an_integer_is_omitted(self, behind_asgi: bool) -> None:
        with override_settings(MIDDLEWARE=[OURS, f"{__name__}.odd_user"]), capture_logs() as logs:
            get("/sync", behind_asgi=behind_asgi, signed_in=False)
        assert [context.user_id for context in seen] == [None]
        assert logs == []

    def test_without_django_users(self, behind_asgi: bool) -> None:
        with override_settings(MIDDLEWARE=[OURS]):
            get("/async", behind_asgi=behind_asgi, signed_in=False)
        assert [context.anonymous_user_id for context in seen] == ["anonymous-1"]

    def test_events_of_other_middleware_have_at_least_the_headers(self, behind_asgi: bool) -> None:
        with override_settings(MIDDLEWARE=[OURS, SESSIONS, AUTHENTICATION, f"{__name__}.early"]):
            get("/async", behind_asgi=behind_asgi)
        assert [context.anonymous_user_id for context in seen] == ["anonymous-1"] * 2
        # In the event loop, before the view, Django does not allow a lookup of the user.
        assert [context.user_id for context in seen] == [None if behind_asgi else user_id(), user_id()]


def test_a_request_that_records_nothing_makes_no_query() -> None:
    client = Client()
    client.force_login(get_user_model().objects.get())
    with CaptureQueriesContext(connections["default"]) as queries:
        client.get("/silent")
        assert len(queries) == 0
        client.get("/sync")
        assert len(queries) == 2  # the session, the user


def test_a_failed_user_lookup_does_not_affect_the_request() -> None:
    def broken(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            request.user = object()
            return get_response(request)

        return middleware

    sys.modules[__name__].__dict__["broken"] = broken
    with override_settings(MIDDLEWARE=[OURS, f"{__name__}.broken"]), capture_logs() as logs:
        assert get("/async", behind_asgi=False, signed_in=False).status_code == 200
    assert [line["event"] for line in logs] == ["user not looked up", "request not identified"]
    assert seen[0].anonymous_user_id == "anonymous-1"


def test_the_context_ends_after_a_failed_request() -> None:
    with event_context(user_id=99):
        with pytest.raises(RuntimeError):
            get("/failing", behind_asgi=False)
        assert current_context().user_id == 99
    assert seen[0].user_id == user_id()


def test_an_aborted_response_is_closed_in_the_context() -> None:
    response: Any = TelemetryContextMiddleware(sync_stream)(
        RequestFactory(headers={"X-Sourcegraph-Interaction-ID": "interaction-1"}).get("/sync-stream")
    )
    assert next(iter(response)) == b"part"
    response.close()
    assert [context.interaction_id for context in seen] == ["interaction-1"] * 2


def test_the_server_can_still_send_files() -> None:
    middleware = TelemetryContextMiddleware(file_view)
    response: Any = middleware(RequestFactory().get("/file"))
    assert response.file_to_stream is not None
    response.close()


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("TELEMETRY_REQUEST_HEADERS", {"contry": "X-Country"}, "valid keys are anonymous_user_id"),
        ("TELEMETRY_REQUEST_HEADERS", {"country": 5}, "TELEMETRY_REQUEST_HEADERS must be"),
        ("TELEMETRY_REQUEST_HEADERS", "X-Country", "TELEMETRY_REQUEST_HEADERS must be"),
        ("TELEMETRY_IDENTIFY", "shop.nothing", "TELEMETRY_IDENTIFY cannot be imported"),
        ("TELEMETRY_IDENTIFY", 5, "TELEMETRY_IDENTIFY must be a function"),
        ("TELEMETRY_IDENTIFY", coroutine_identify, "must not be a coroutine function"),
    ],
)
def test_an_invalid_setting_is_reported_when_django_starts(setting: str, value: Any, problem: str) -> None:
    with override_settings(**{setting: value}), pytest.raises(ImproperlyConfigured, match=problem):
        Client().get("/silent")


def test_telemetry_imports_no_framework_by_itself() -> None:
    code = "import sys, telemetry, recorder; print({'django', 'flask', 'fastapi', 'asgiref'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
