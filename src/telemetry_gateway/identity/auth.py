"""Whether a sender is the managed service that it says it is."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Protocol

from telemetry_gateway.errors import AuthenticatorUnavailableError, PermissionDeniedError, UnauthenticatedError


class Authenticator(Protocol):
    """Tells managed services by their tokens."""

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return when the token lets its bearer publish as this service.

        Raises:
            PermissionDeniedError: It does not.
            AuthenticatorUnavailableError: That cannot be found out now.
        """
        ...


class StaticTokens:
    """Tokens that an operator set, one for each service.

    Args:
        tokens: Service id to token.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {service_id: token.encode() for service_id, token in tokens.items()}

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return when the token is this service's: see `Authenticator`."""
        known = self._tokens.get(service_id)
        # SECURITY: compared in constant time, and as long for a service that has no token.
        matches = hmac.compare_digest(token.encode() if known is None else known, token.encode())
        if known is None or not matches:
            raise PermissionDeniedError("the token is not valid for this managed service")


class AnyOf:
    """Asks several authenticators in turn; one that lets the token pass is enough.

    Args:
        authenticators: In the order of asking; the cheap ones first.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return when one of them does: see `Authenticator`."""
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
        # SECURITY: never a pass. The one that cannot answer might have let it pass, so the sender comes back.
        if unavailable is not None:
            raise unavailable
        raise denied or PermissionDeniedError("this gateway knows no managed services: no authentication is set up")


def bearer_token(call_metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """Return the token of the `authorization: Bearer` header.

    Raises:
        UnauthenticatedError: There is no such header, more than one, or it cannot be read.
    """
    values = [value for key, value in call_metadata if key.lower() == "authorization"]
    if len(values) == 1 and isinstance(values[0], str):
        scheme, _, token = values[0].partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token and token.isascii() and not any(map(str.isspace, token)):
            return token
    raise UnauthenticatedError("a managed service must send one header, authorization: Bearer TOKEN")
