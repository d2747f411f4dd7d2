"""Who calls: told by a hook that the host gives, never by a request's own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.requests import HTTPConnection

from telemetry_ingest.errors import InvalidCredentialsError

_SCHEMES: Final = ("bearer", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody whose credentials are good.

    Attributes:
        user_id: The user's number on this instance; None for a client that acts for nobody.
        site_admin: Whether the caller may see what was exported.
        feature_flags: The flags evaluated for this user; `telemetry-export` among them can keep events at home.
    """

    user_id: int | None = None
    site_admin: bool = False
    feature_flags: Mapping[str, str | bool] | None = field(default=None, repr=False)


class CallerAuthenticator(Protocol):
    """The hook: tells callers by their credentials."""

    async def authenticate(self, token: str | None, request: HTTPConnection) -> Caller | None:
        """Returns who calls; None for somebody without credentials.

        Args:
            token: That of the header `Authorization: token ...` or `Authorization: Bearer ...`; None without one.
            request: The request, for hosts that know callers by a session. A host that reads cookies must not allow
                other origins to send them.

        Raises:
            InvalidCredentialsError: There are credentials, and they are not good.
            NotPermittedError: They are good, and their bearer may not record.
            AuthenticatorUnavailableError: That cannot be found out now.
        """
        ...


class Nobody:
    """The hook of a service that knows no tokens: whoever shows one is refused."""

    async def authenticate(self, token: str | None, request: HTTPConnection) -> Caller | None:  # noqa: ARG002
        """Returns None, or raises where there is a token: see `CallerAuthenticator`."""
        if token is None:
            return None
        raise InvalidCredentialsError("this service knows no tokens")


def request_token(request: HTTPConnection) -> str | None:
    """Returns the token of a request's `Authorization` header; None without one.

    Raises:
        InvalidCredentialsError: The header cannot be read. That is never taken for somebody without credentials.
    """
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    # SECURITY: of two headers, who knows which one a proxy looked at?
    if len(values) > 1 or scheme.lower() not in _SCHEMES or not token.isascii() or len(token.split()) != 1:
        raise InvalidCredentialsError("send one header, Authorization: Bearer TOKEN or Authorization: token TOKEN")
    return token
