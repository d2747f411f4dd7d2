"""Tokens for the gateway: a static one, or OAuth 2.0 client credentials."""

import math
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, Protocol

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client

from export.bearer_token import check_token
from export.errors import CredentialsError
from export.settings import ExporterSettings
from telemetry_runtime.certificate_faults import certificate_fault

_TIMEOUT_SECONDS: Final = 10
# A token is renewed this long before it expires, or after 9/10 of its lifetime if that is later.
_RENEW_BEFORE_SECONDS: Final = 60
_DEFAULT_LIFETIME_SECONDS: Final = 300.0


class TokenSource(Protocol):
    """A source of bearer tokens, shared by threads."""

    def token(self) -> str:
        """Return a token that is valid now.

        Raises:
            CredentialsError: Getting a token failed; the message never contains a secret.
        """
        ...

    def invalidate(self, token: str) -> None:
        """Discard a token that the gateway refused."""
        ...


class StaticToken:
    """A token that an operator set."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """Return the token."""
        return self._token

    def invalidate(self, token: str) -> None:
        """Do nothing: there is no other token."""


class ClientCredentials:
    """OAuth 2.0 client credentials (RFC 6749, 4.4): one cached token for all threads.

    Args:
        token_url: The URL that issues tokens.
        client_id: The client's id.
        client_secret: The client's secret.
        scope: The scope to request.
        verify: How the token URL's certificate is verified.
        monotonic: Returns seconds.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str,
        *,
        verify: ssl.SSLContext | bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._verify = verify
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = 0.0

    def token(self) -> str:
        """Return the cached token, or fetch one while other threads wait for it.

        Raises:
            CredentialsError: The token URL did not return one.
        """
        with self._lock:
            if self._token is None or self._monotonic() >= self._renew_at:
                self._token = None
                self._token, lifetime = self._fetch()
                self._renew_at = self._monotonic() + max(lifetime - _RENEW_BEFORE_SECONDS, lifetime * 0.9)
            return self._token

    def invalidate(self, token: str) -> None:
        """Let the next call fetch a new token, unless another thread has done so already."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _fetch(self) -> tuple[str, float]:
        try:
            client: Any = OAuth2Client(
                self._client_id, self._client_secret, scope=self._scope, verify=self._verify, timeout=_TIMEOUT_SECONDS
            )
            with closing(client):
                response = client.fetch_token(self._token_url, grant_type="client_credentials")
            return check_token(str(response["access_token"])), _lifetime(response.get("expires_in"))
        except AuthlibBaseError as error:
            # The error's code is from a fixed list (RFC 6749, 5.2); its description is free text.
            problem = f"the token URL refused the client credentials ({error.error})"
        except httpx2.HTTPStatusError as error:
            problem = f"the token URL answered with status {error.response.status_code}"
        except httpx2.HTTPError as error:
            fault = certificate_fault(error, ca_file_setting="TELEMETRY_GATEWAY_EXPORTER_TLS_CA_FILE")
            problem = (
                f"the token URL cannot be reached ({type(error).__name__})"
                if fault is None
                else f"the token URL's certificate is rejected: {fault}"
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            problem = f"the token URL's response does not contain a usable token ({type(error).__name__})"
        # SECURITY: raised outside the handlers, so that no request with the secret is chained to it.
        raise CredentialsError(problem)


def _lifetime(expires_in: Any) -> float:
    """Return how many seconds a token may be used. An invalid `expires_in` is treated as missing."""
    seconds = float(expires_in or 0)
    return seconds if math.isfinite(seconds) and seconds > 0 else _DEFAULT_LIFETIME_SECONDS


def token_source(settings: ExporterSettings) -> TokenSource | None:
    """Return the token source that the settings name; None if no credentials are set."""
    if settings.bearer_token is not None:
        return StaticToken(settings.bearer_token.get_secret_value())
    if settings.oauth_token_url and settings.oauth_client_id and settings.oauth_client_secret:
        verify: ssl.SSLContext | bool = True
        if settings.tls_ca_file is not None:
            verify = ssl.create_default_context(cafile=str(settings.tls_ca_file))
        return ClientCredentials(
            settings.oauth_token_url,
            settings.oauth_client_id,
            settings.oauth_client_secret.get_secret_value(),
            settings.oauth_scope,
            verify=verify,
        )
    return None
