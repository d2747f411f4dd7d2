"""Sets the context of events from a request, in Django, behind WSGI and ASGI, for views of both kinds.

MIDDLEWARE = ["telemetry_django.TelemetryContextMiddleware", ...]

Settings, all optional, read once, when Django makes the middleware:

    TELEMETRY_REQUEST_HEADERS = {"client": "X-Client", "country": "CF-IPCountry"}  # fields of RequestHeaders
    TELEMETRY_IDENTIFY = "shop.telemetry.identify"  # what else is known of a request

Importing `telemetry` does not import this module, nor Django.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from telemetry.context import ContextSource, context_source
from telemetry.logger import get_logger
from telemetry.web.request_context import Identify, RequestContext, RequestHeaders

__all__ = ["TelemetryContextMiddleware"]

HEADERS_SETTING = "TELEMETRY_REQUEST_HEADERS"
IDENTIFY_SETTING = "TELEMETRY_IDENTIFY"

GetResponse: TypeAlias = Callable[[HttpRequest], Any]
"""The rest of Django: returns the response, or what can be awaited for it."""

_log = get_logger("telemetry_django.middleware")


class TelemetryContextMiddleware:
    """Gives every event that is recorded under a request, its streamed answer included, the request's context.

    The user is Django's own, where its primary key is an integer. It is looked up when an event is recorded, so
    requests that record nothing cost no query, and the place among other middleware does not matter. Only before an
    async view it is looked up in any case: inside, Django forbids the query.

    Args:
        get_response: The rest of Django, sync or async.

    Raises:
        ImproperlyConfigured: A setting breaks its rule; says which.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._contexts = RequestContext(_headers(), _identify_with(_host_identify()))
        # Django asks each hook by itself whether it is a coroutine function.
        self._is_async = iscoroutinefunction(get_response)
        self.process_view = self._before_view_async if self._is_async else self._before_view
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answers the request, in its context."""
        headers = cast("Mapping[str, str]", request.headers)  # a property of Django's own kind
        source = self._contexts.of(headers.get, request)
        return self._answer_async(request, source) if self._is_async else self._answer(request, source)

    def _answer(self, request: HttpRequest, source: ContextSource) -> HttpResponseBase:
        with context_source(source):
            response = self._get_response(request)
        return _in_context(response, source)

    async def _answer_async(self, request: HttpRequest, source: ContextSource) -> HttpResponseBase:
        with context_source(source):
            response = await self._get_response(request)
        return _in_context(response, source)

    @staticmethod
    def _before_view(request: HttpRequest, view: Callable[..., Any], *_: object) -> None:
        if iscoroutinefunction(view):
            _look_up_user(request)

    @staticmethod
    async def _before_view_async(request: HttpRequest, view: Callable[..., Any], *_: object) -> None:
        if iscoroutinefunction(view):
            await sync_to_async(_look_up_user)(request)


def _look_up_user(request: HttpRequest) -> None:
    try:
        _user_id(request)  # Django remembers who it is
    except Exception as error:  # noqa: BLE001 - no request fails for its telemetry's sake
        _log.warning("user not looked up", error=type(error).__name__)


def _user_id(request: HttpRequest) -> int | None:
    """Returns the signed-in user's id; None where there is none, or where it is no integer."""
    user = getattr(request, "user", None)  # not there without Django's AuthenticationMiddleware
    if user is None or not user.is_authenticated:
        return None
    return user.pk if isinstance(user.pk, int) else None


def _identify_with(host: Identify[HttpRequest] | None) -> Identify[HttpRequest]:
    """Returns what is known of a request: its user, and what the host says, which wins."""

    def identify(request: HttpRequest) -> Mapping[str, Any]:
        return {"user_id": _user_id(request), **((host and host(request)) or {})}

    return identify


def _headers() -> RequestHeaders:
    given = getattr(settings, HEADERS_SETTING, {})
    names = list(RequestHeaders.__dataclass_fields__)
    if not isinstance(given, Mapping) or not all(
        field in names and isinstance(header, str | None) for field, header in given.items()
    ):
        raise ImproperlyConfigured(
            f"{HEADERS_SETTING} must be a dict of header names, or None for a header that is not read; "
            f"its keys may be {', '.join(names)}"
        )
    return RequestHeaders(**given)


def _host_identify() -> Identify[HttpRequest] | None:
    given = getattr(settings, IDENTIFY_SETTING, None)
    if isinstance(given, str):
        try:
            given = import_string(given)
        except ImportError as error:
            raise ImproperlyConfigured(f"{IDENTIFY_SETTING} cannot be imported: {error}") from error
    if given is not None and (not callable(given) or iscoroutinefunction(given)):
        raise ImproperlyConfigured(
            f"{IDENTIFY_SETTING} must be a function that is given the request, or the dotted path to one; no coroutine"
        )
    return cast("Identify[HttpRequest] | None", given)


def _in_context(response: Any, source: ContextSource) -> HttpResponseBase:
    """Returns the response, whose later parts and whose end are in the request's context, too.

    Not by a copied `contextvars` context, as in WSGI: languages and time zones that inner layers activate must
    stay visible to the outer ones.
    """
    # A file records nothing, and wrapped it could not be sent by the server itself.
    if response.streaming and getattr(response, "file_to_stream", None) is None:
        parts = response.streaming_content
        response.streaming_content = _stream_async(parts, source) if response.is_async else _Parts(parts, source)
    close = response.close

    def close_in_context() -> None:
        with context_source(source):
            close()

    response.close = close_in_context
    return cast("HttpResponseBase", response)


class _Parts:
    """The parts of a streamed answer, each made in the request's context."""

    def __init__(self, parts: Iterator[bytes], source: ContextSource) -> None:
        self._parts = parts
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with context_source(self._source):
            return next(self._parts)


async def _stream_async(parts: AsyncIterator[bytes], source: ContextSource) -> AsyncIterator[bytes]:
    # Not one `with` around it all: between the parts, the context is the server's.
    while True:
        with context_source(source):
            try:
                part = await anext(parts)
            except StopAsyncIteration:
                return
        yield part
