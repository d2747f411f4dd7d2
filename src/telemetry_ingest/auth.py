"""Authentication of callers by a hook that the host provides, never by what the request claims."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from telemetry_ingest.errors import InvalidCredentialsError

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

_SCHEMES: Final = ("bearer", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller.

    Attributes:
        user_id: The user's id on this instance; None for a client that does not act for a user.
        site_admin: Whether the caller may read exported events.
        feature_flags: The flags evaluated for this user; the flag `telemetry-export` can prevent their export.
    """

    user_id: int | None = None
    site_admin: bool = False
    feature_flags: Mapping[str, str | bool] | None = field(default=None, repr=False)


class CallerAuthenticator(Protocol):
    """The hook that authenticates callers."""

    async def authenticate(self, token: str | None, request: "HTTPConnection") -> Caller | None:
        """Return the caller; None for a request without credentials.

        Args:
            token: The token of `Authorization: token ...` or `Authorization: Bearer ...`; None without the header.
            request: The request, for hosts that use sessions. A host that reads cookies must not allow
                other origins to send them.

        Raises:
            InvalidCredentialsError: The credentials are invalid.
            NotPermittedError: The credentials are valid, but the caller may not record.
            AuthenticatorUnavailableError: The credentials cannot be checked now.
        """
        ...


class RejectTokens:
    """The hook of a service without tokens: rejects every token."""

    async def authenticate(self, token: str | None, request: "HTTPConnection") -> Caller | None:  # noqa: ARG002
        """Return None, or raise if there is a token: see `CallerAuthenticator`."""
        if token is None:
            return None
        raise InvalidCredentialsError("this service has no tokens configured")


def request_token(request: "HTTPConnection") -> str | None:
    """Return the token of a request's `Authorization` header; None without the header.

    Raises:
        InvalidCredentialsError: The header is invalid. An invalid header never counts as missing credentials.
    """
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    # SECURITY: reject duplicate headers: a proxy may have checked the other one.
    if len(values) > 1 or scheme.lower() not in _SCHEMES or not token.isascii() or len(token.split()) != 1:
        raise InvalidCredentialsError("send one header, Authorization: Bearer TOKEN or Authorization: token TOKEN")
    return token
