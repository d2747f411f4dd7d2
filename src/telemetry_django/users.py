"""Identify the user of a request: `request.user`, or what the host's function returns."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from telemetry.web.request_context import Identify


def user_id(request: HttpRequest) -> int | None:
    """Return the id of the signed-in user, or None if there is no user or the id is not an integer."""
    user = getattr(request, "user", None)  # missing without Django's AuthenticationMiddleware
    if user is None or not user.is_authenticated:
        return None
    return user.pk if isinstance(user.pk, int) else None


def identify_with(host: Identify[HttpRequest] | None) -> Identify[HttpRequest]:
    """Return a function for the context of a request: its user, overridden by what the host's function returns."""

    def identify(request: HttpRequest) -> Mapping[str, Any]:
        return {"user_id": user_id(request), **((host and host(request)) or {})}

    return identify
