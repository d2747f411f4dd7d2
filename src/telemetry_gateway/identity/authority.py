"""Asks an OAuth 2.0 authority over HTTPS."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from telemetry_gateway.errors import AuthenticatorUnavailableError
from telemetry_runtime.certificate_faults import certificate_fault

_TIMEOUT_SECONDS: Final = 5


class Authority:
    """The HTTP side of an authority.

    Args:
        ca_file: PEM file of the certificate authorities to trust; None: the system's.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        # SECURITY: certificates are always checked; a file narrows whom to trust.
        self._verify: ssl.SSLContext = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))

    async def ask(
        self, url: str, *, form: Mapping[str, str] | None = None, client: tuple[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Return the JSON object that the authority answers with.

        Args:
            url: Where to ask.
            form: What to POST; None for a GET.
            client: Id and secret, for HTTP basic authentication.

        Raises:
            AuthenticatorUnavailableError: There is no such answer. The text holds neither token nor secret.
        """
        try:
            # SECURITY: redirects are not followed: they could carry the secret somewhere else.
            async with httpx2.AsyncClient(verify=self._verify, timeout=_TIMEOUT_SECONDS, auth=client) as http:
                if form is None:
                    answer = await http.get(url)
                else:
                    answer = await http.post(url, data=dict(form), headers={"accept": "application/json"})
            value = answer.raise_for_status().json()
        except httpx2.HTTPStatusError as error:
            problem = f"the authority answered with status {error.response.status_code}"
        except httpx2.HTTPError as error:
            fault = certificate_fault(error, ca_file_setting="TELEMETRY_GATEWAY_AUTHORITY_CA_FILE")
            problem = (
                f"the authority cannot be reached ({type(error).__name__})"
                if fault is None
                else f"the authority's certificate is rejected: {fault}"
            )
        except ValueError:
            problem = "the authority's answer is no JSON"
        else:
            if isinstance(value, dict):
                return value
            problem = "the authority's answer is no JSON object"
        # SECURITY: raised outside the handlers, so that no request with a secret is chained to it.
        raise AuthenticatorUnavailableError(f"the token cannot be checked now: {problem}")
