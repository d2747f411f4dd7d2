"""What a token's claims must say before its bearer may publish."""

from collections.abc import Mapping
from typing import Any

from telemetry.scopes import EVENTS_WRITE_SCOPE
from telemetry_gateway.errors import PermissionDeniedError


def check_scope(claims: Mapping[str, Any]) -> None:
    """Return when `scope` (text, RFC 8693) or `scp` (a list) holds the scope.

    Raises:
        PermissionDeniedError: It does not.
    """
    scopes: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            scopes.update(value.split(" "))
        elif isinstance(value, list):
            scopes.update(one for one in value if isinstance(one, str))
    # SECURITY: a token for something else opens nothing here.
    if EVENTS_WRITE_SCOPE not in scopes:
        raise PermissionDeniedError(f"the token lacks the scope {EVENTS_WRITE_SCOPE}")


def check_service(claims: Mapping[str, Any], claim: str | None, service_id: str) -> None:
    """Return when the token's claim names the service, or when no claim has to.

    Raises:
        PermissionDeniedError: It names another one, or none.
    """
    # SECURITY: with a claim set, one service's token cannot speak for another service.
    if claim is not None and claims.get(claim) != service_id:
        raise PermissionDeniedError("the token is not valid for this managed service")
