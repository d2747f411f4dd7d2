"""Authenticate managed services by their tokens."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Protocol

from telemetry_gateway.errors import AuthenticatorUnavailableError, PermissionDeniedError, UnauthenticatedError


class Authenticator(Protocol):
    """Authenticates managed services by their tokens."""

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return if the token is valid for this service.

        Raises:
            PermissionDeniedError: The token is not valid for this service.
            AuthenticatorUnavailableError: The token cannot be checked now.
        """
        ...


class StaticTokens:
    """Configured tokens, one for each service.

    Args:
        tokens: The token of each service, by service id.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {service_id: token.encode() for service_id, token in tokens.items()}

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return if this is the token of the service, see `Authenticator`."""
        known = self._tokens.get(service_id)
        # SECURITY: compared in constant time, which is the same for a service without a token.
        matches = hmac.compare_digest(token.encode() if known is None else known, token.encode())
        if known is None or not matches:
            raise PermissionDeniedError("the token is not valid for this managed service")


class AnyOf:
    """Accepts a token if any of several authenticators accepts it.

    Args:
        authenticators: The authenticators, in the order of calls; the cheap ones first.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return if one of the authenticators accepts the token, see `Authenticator`."""
        denied: PermissionDeniedError | None = None
        unavailable: AuthenticatorUnavailableError | None = None
        for authenticator in self._authenticators:
            try:
                await authenticator.authenticate(token, service_id)
            except PermissionDeniedError as error:
                denied = error
            except AuthenticatorUnavailableError as error:
                unavailable = error
            else:
                return
        # SECURITY: never accepted here. The unavailable authenticator might accept the token, so the client may retry.
        if unavailable is not None:
            raise unavailable
        raise denied or PermissionDeniedError(
            "this gateway accepts no managed services: authentication is not configured"
        )


def bearer_token(call_metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """Return the token of the `authorization: Bearer` header.

    Raises:
        UnauthenticatedError: The header is missing, malformed, or sent more than once.
    """
    values = [value for key, value in call_metadata if key.lower() == "authorization"]
    if len(values) == 1 and isinstance(values[0], str):
        scheme, _, token = values[0].partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token and token.isascii() and not any(map(str.isspace, token)):
            return token
    raise UnauthenticatedError("a managed service must send exactly one header authorization: Bearer TOKEN")
