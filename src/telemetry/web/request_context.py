"""The context of the events that are recorded during a request.

Headers are read once, at the start of the request. The host's `identify` is called when an event is recorded: by then
the user is authenticated, and a request without events does not call it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeAlias, TypeVar

from telemetry.context import MAX_SHORT_TEXT_LENGTH, Client, ContextSource, EventContext
from telemetry.logger import get_logger
from telemetry.text import text_problem

Request = TypeVar("Request")

Identify: TypeAlias = Callable[[Request], Mapping[str, Any] | None]
"""Returns attributes of `EventContext` for a request: user id, feature flags, and so on.

Called with the ASGI scope, the WSGI environment or Django's request whenever an event is recorded, in the thread that
records it, so it should be fast. Its result overrides the headers.
"""

_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeaders:
    """The names of the headers to read a request's context from; None for a header that is not read.

    Headers come from outside, so they never determine the user; `Identify` does.

    Attributes:
        anonymous_user_id: The id of a user who is not signed in.
        interaction_id: The id shared by the events of one interaction.
        client: The user's client program, `name` or `name/version`.
        country: The two-letter country code, set by a proxy that you trust. Never derived from the address.
    """

    anonymous_user_id: str | None = "X-Sourcegraph-Actor-Anonymous-UID"
    interaction_id: str | None = "X-Sourcegraph-Interaction-ID"
    client: str | None = None
    country: str | None = None


class RequestContext(Generic[Request]):
    """Creates the contexts of requests.

    Args:
        headers: The headers to read.
        identify: Returns further attributes.
    """

    def __init__(self, headers: RequestHeaders | None = None, identify: Identify[Request] | None = None) -> None:
        self._headers = RequestHeaders() if headers is None else headers
        self._identify = identify

    def of(self, header: Callable[[str], str | None], request: Request) -> ContextSource:
        """Return the context source of a request. Neither raises: telemetry never makes a request fail.

        Args:
            header: Returns a header's value by its name; None if the request does not have it.
            request: The argument of `identify`.
        """
        names = self._headers
        found: dict[str, Any] = {
            "anonymous_user_id": _short(header, names.anonymous_user_id),
            "interaction_id": _short(header, names.interaction_id),
            "client": _client(_short(header, names.client)),
            "country_code": _country(_short(header, names.country)),
        }
        context = EventContext(**found)
        if self._identify is None:
            return lambda: context
        return _Identified(context, self._identify, request)


class _Identified(Generic[Request]):
    """Adds the host's current attributes to a request's context; rebuilds it only if they have changed."""

    def __init__(self, found: EventContext, identify: Identify[Request], request: Request) -> None:
        self._found = found
        self._identify = identify
        self._request = request
        self._last: tuple[Mapping[str, Any], EventContext] = ({}, found)

    def __call__(self) -> EventContext:
        try:
            # Copy: the host may change its own mapping later, which would then compare equal to itself.
            known: dict[str, Any] = {
                name: dict(value) if isinstance(value, Mapping) else value
                for name, value in (self._identify(self._request) or {}).items()
            }
        except Exception as error:  # noqa: BLE001 - the host's code; its message may quote anything
            # SECURITY: log only the class, never values of headers and users.
            _log.warning("request not identified", error=type(error).__name__)
            return self._found
        try:
            before, context = self._last
            if known != before:
                context = replace(self._found, **known)
                self._last = (known, context)
        except Exception as error:  # noqa: BLE001 - the hook returned invalid attributes
            _log.warning("request context without what identify returned", error=type(error).__name__)
            return self._found
        return context


def _short(header: Callable[[str], str | None], name: str | None) -> str | None:
    """Return a header's value if an event can store it."""
    value = None if name is None else header(name)
    if not value or len(value) > MAX_SHORT_TEXT_LENGTH or text_problem(value):
        return None
    return value


def _client(text: str | None) -> Client | None:
    if text is None:
        return None
    name, _, version = text.partition("/")
    return Client(name, version or None) if name else None


def _country(text: str | None) -> str | None:
    return text.upper() if text is not None and _COUNTRY.fullmatch(text) else None
