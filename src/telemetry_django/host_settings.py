"""The settings of the middleware, from the host's Django settings."""

from collections.abc import Mapping
from typing import Final, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

from telemetry.web.request_context import Identify, RequestHeaders

HEADERS_SETTING: Final = "TELEMETRY_REQUEST_HEADERS"
IDENTIFY_SETTING: Final = "TELEMETRY_IDENTIFY"


def request_headers() -> RequestHeaders:
    """Return the names of the headers to read.

    Raises:
        ImproperlyConfigured: The setting is invalid.
    """
    given = getattr(settings, HEADERS_SETTING, {})
    names = list(RequestHeaders.__dataclass_fields__)
    if not isinstance(given, Mapping) or not all(
        field in names and isinstance(header, str | None) for field, header in given.items()
    ):
        raise ImproperlyConfigured(
            f"{HEADERS_SETTING} must be a dict of header names, with None for a header to ignore; "
            f"valid keys are {', '.join(names)}"
        )
    return RequestHeaders(**given)


def host_identify() -> Identify[HttpRequest] | None:
    """Return the host's function that identifies requests, or None if it is not set.

    Raises:
        ImproperlyConfigured: It is not a function, or cannot be imported.
    """
    given = getattr(settings, IDENTIFY_SETTING, None)
    if isinstance(given, str):
        try:
            given = import_string(given)
        except ImportError as error:
            raise ImproperlyConfigured(f"{IDENTIFY_SETTING} cannot be imported: {error}") from error
    if given is not None and (not callable(given) or iscoroutinefunction(given)):
        raise ImproperlyConfigured(
            f"{IDENTIFY_SETTING} must be a function that accepts the request, or the dotted path of one; "
            "it must not be a coroutine function"
        )
    return cast("Identify[HttpRequest] | None", given)
