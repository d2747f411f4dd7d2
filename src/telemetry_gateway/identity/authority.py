"""Send requests to an OAuth 2.0 authority over HTTPS."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from telemetry_gateway.errors import AuthenticatorUnavailableError
from telemetry_runtime.certificate_faults import certificate_fault

_TIMEOUT_SECONDS: Final = 5


class Authority:
    """An HTTP client for an OAuth 2.0 authority.

    Args:
        ca_file: PEM file of the certificate authorities to trust, or None for the system's.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        # SECURITY: certificates are always verified; with a file, only the authorities in it are trusted.
        self._verify: ssl.SSLContext = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))

    async def ask(
        self, url: str, *, form: Mapping[str, str] | None = None, client: tuple[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Return the JSON object in the authority's response.

        Args:
            url: The URL to request.
            form: The form to POST, or None for a GET request.
            client: Id and secret for HTTP basic authentication.

        Raises:
            AuthenticatorUnavailableError: The request failed. The message contains neither token nor secret.
        """
        try:
            # SECURITY: redirects are not followed, because they could send the secret to another server.
            async with httpx2.AsyncClient(verify=self._verify, timeout=_TIMEOUT_SECONDS, auth=client) as http:
                if form is None:
                    answer = await http.get(url)
                else:
                    answer = await http.post(url, data=dict(form), headers={"accept": "application/json"})
            value = answer.raise_for_status().json()
        except httpx2.HTTPStatusError as error:
            problem = f"the authority responded with status {error.response.status_code}"
        except httpx2.HTTPError as error:
            fault = certificate_fault(error, ca_file_setting="TELEMETRY_GATEWAY_AUTHORITY_CA_FILE")
            problem = (
                f"the authority cannot be reached ({type(error).__name__})"
                if fault is None
                else f"the authority's certificate is rejected: {fault}"
            )
        except ValueError:
            problem = "the authority's response is not valid JSON"
        else:
            if isinstance(value, dict):
                return value
            problem = "the authority's response is not a JSON object"
        # SECURITY: raised outside the handlers, so that the chained exception cannot hold a request with a secret.
        raise AuthenticatorUnavailableError(f"the token cannot be checked now: {problem}")
