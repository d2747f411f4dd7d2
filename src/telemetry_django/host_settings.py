"""What the host sets in Django's settings."""

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
    """Return the headers that the host names.

    Raises:
        ImproperlyConfigured: They break the rule.
    """
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


def host_identify() -> Identify[HttpRequest] | None:
    """Return the host's own function that identifies requests; None without one.

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
            f"{IDENTIFY_SETTING} must be a function that is given the request, or the dotted path to one; no coroutine"
        )
    return cast("Identify[HttpRequest] | None", given)
