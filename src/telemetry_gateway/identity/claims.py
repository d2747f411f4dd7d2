"""Check the claims of a token."""

from collections.abc import Mapping
from typing import Any

from telemetry.scopes import EVENTS_WRITE_SCOPE
from telemetry_gateway.errors import PermissionDeniedError


def check_scope(claims: Mapping[str, Any]) -> None:
    """Return if `scope` (a string, RFC 8693) or `scp` (a list) contains the required scope.

    Raises:
        PermissionDeniedError: The scope is missing.
    """
    scopes: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            scopes.update(value.split(" "))
        elif isinstance(value, list):
            scopes.update(one for one in value if isinstance(one, str))
    # SECURITY: a token that was issued for another purpose is rejected.
    if EVENTS_WRITE_SCOPE not in scopes:
        raise PermissionDeniedError(f"the token lacks the scope {EVENTS_WRITE_SCOPE}")


def check_service(claims: Mapping[str, Any], claim: str | None, service_id: str) -> None:
    """Return if the token's claim is the service's id, or if no claim is configured.

    Raises:
        PermissionDeniedError: The claim is missing or is not the service's id.
    """
    # SECURITY: with a configured claim, the token of one service is not valid for another service.
    if claim is not None and claims.get(claim) != service_id:
        raise PermissionDeniedError("the token is not valid for this managed service")
