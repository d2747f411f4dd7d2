"""The middleware that gives each event the context of the request that it is recorded in."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from telemetry.context import ContextSource, context_source
from telemetry.logger import get_logger
from telemetry.web.request_context import RequestContext
from telemetry_django.host_settings import host_identify, request_headers
from telemetry_django.responses import in_context
from telemetry_django.users import identify_with, user_id

GetResponse: TypeAlias = Callable[[HttpRequest], Any]
"""The next middleware or view: returns the response, or an awaitable of it."""

_log = get_logger(__name__)


class TelemetryContextMiddleware:
    """Give every event recorded during a request, including its streamed response, the context of the request.

    The user is `request.user`, if its primary key is an integer. It is looked up when an event is recorded, so requests
    that record nothing cost no query, and the order of the middleware does not matter. Before an async view it is
    always looked up, because Django forbids the query inside.

    Args:
        get_response: The next middleware or view, sync or async.

    Raises:
        ImproperlyConfigured: A setting is invalid. The message names it.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        self._contexts = RequestContext(request_headers(), identify_with(host_identify()))
        # Django checks for each hook whether it is a coroutine function.
        self._is_async = iscoroutinefunction(get_response)
        self.process_view = self._before_view_async if self._is_async else self._before_view
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Return the response to the request; set the context of events until it is complete."""
        headers = cast("Mapping[str, str]", request.headers)  # the stubs do not type Django's cached_property
        source = self._contexts.of(headers.get, request)
        return self._answer_async(request, source) if self._is_async else self._answer(request, source)

    def _answer(self, request: HttpRequest, source: ContextSource) -> HttpResponseBase:
        with context_source(source):
            response = self._get_response(request)
        return in_context(response, source)

    async def _answer_async(self, request: HttpRequest, source: ContextSource) -> HttpResponseBase:
        with context_source(source):
            response = await self._get_response(request)
        return in_context(response, source)

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
        user_id(request)  # Django caches the user
    except Exception as error:  # noqa: BLE001 - a request must not fail because of telemetry
        _log.warning("user not looked up", error=type(error).__name__)
