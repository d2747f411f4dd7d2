"""The context of the events that are recorded under one request.

Headers are read once, at its edge. What the host knows is asked when an event is recorded: by then its inner
layers have found out who is signed in, and a request that records nothing asks nothing.
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
"""Returns attributes of `EventContext` that the host knows of a request: user id, feature flags, and so on.

Is given the ASGI scope, the WSGI environment or Django's request, each time that an event is recorded under it, where
it is recorded: it should return what is at hand. What it returns wins over what headers say.
"""

_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeaders:
    """The names of the headers that a request's context is read from; None: not read.

    Headers come from outside, so they never say who is signed in; that is `Identify`'s to know.

    Attributes:
        anonymous_user_id: Stands for a person who is not signed in.
        interaction_id: Ties together the events of one interaction.
        client: The program in front of the user, `name` or `name/version`.
        country: Two letters, set by a proxy that you trust. Never derived from the address.
    """

    anonymous_user_id: str | None = "X-Sourcegraph-Actor-Anonymous-UID"
    interaction_id: str | None = "X-Sourcegraph-Interaction-ID"
    client: str | None = None
    country: str | None = None


class RequestContext(Generic[Request]):
    """Makes the contexts of requests.

    Args:
        headers: Which headers are read.
        identify: What the host knows beyond them.
    """

    def __init__(self, headers: RequestHeaders | None = None, identify: Identify[Request] | None = None) -> None:
        self._headers = RequestHeaders() if headers is None else headers
        self._identify = identify

    def of(self, header: Callable[[str], str | None], request: Request) -> ContextSource:
        """Returns what tells the context of a request's events. Neither raises: no request fails for its telemetry.

        Args:
            header: Returns a header's value by its name, None where the request has none.
            request: What `identify` is given.
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
    """Tells a request's context with what the host knows of it now; made anew only when that has changed."""

    def __init__(self, found: EventContext, identify: Identify[Request], request: Request) -> None:
        self._found = found
        self._identify = identify
        self._request = request
        self._last: tuple[Mapping[str, Any], EventContext] = ({}, found)

    def __call__(self) -> EventContext:
        try:
            # Copied: the host may add flags to its own mapping later on, and that would be equal to itself.
            known: dict[str, Any] = {
                name: dict(value) if isinstance(value, Mapping) else value
                for name, value in (self._identify(self._request) or {}).items()
            }
        except Exception as error:  # noqa: BLE001 - the host's code; its text may quote anything
            # SECURITY: the class alone: values of headers and users stay out of the log.
            _log.warning("request not identified", error=type(error).__name__)
            return self._found
        try:
            before, context = self._last
            if known != before:
                context = replace(self._found, **known)
                self._last = (known, context)
        except Exception as error:  # noqa: BLE001 - what the host's hook returned is no context
            _log.warning("request context without what identify returned", error=type(error).__name__)
            return self._found
        return context


def _short(header: Callable[[str], str | None], name: str | None) -> str | None:
    """Returns a header's value where an event can hold it."""
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
