"""Who is behind a request: Django's own user, and what the host says."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from telemetry.web.request_context import Identify


def user_id(request: HttpRequest) -> int | None:
    """Returns the signed-in user's id; None where there is none, or where it is no integer."""
    user = getattr(request, "user", None)  # not there without Django's AuthenticationMiddleware
    if user is None or not user.is_authenticated:
        return None
    return user.pk if isinstance(user.pk, int) else None


def identify_with(host: Identify[HttpRequest] | None) -> Identify[HttpRequest]:
    """Returns what is known of a request: its user, and what the host says, which wins."""

    def identify(request: HttpRequest) -> Mapping[str, Any]:
        return {"user_id": user_id(request), **((host and host(request)) or {})}

    return identify
