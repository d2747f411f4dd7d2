"""Settles who a stream is from, before anything of it is taken."""

from collections.abc import Sequence
from typing import Protocol

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.errors import PermissionDeniedError
from telemetry_gateway.identity.auth import Authenticator, bearer_token
from telemetry_gateway.publishing.publisher import Publisher, read_publisher


class LicenseCheck(Protocol):
    """Tells whether a license key is good; an operator's hook."""

    async def is_valid(self, license_key: str, instance_id: str) -> bool:
        """Return whether this instance may send under this key.

        Raises:
            AuthenticatorUnavailableError: That cannot be found out now.
        """
        ...


class Identification:
    """Reads identifiers and checks that their bearers may use them.

    Args:
        authenticator: Tells managed services by their tokens; None: they are refused.
        license_check: Checks license keys; None: every key passes.
    """

    def __init__(self, authenticator: Authenticator | None, license_check: LicenseCheck | None = None) -> None:
        self._authenticator = authenticator
        self._license_check = license_check

    async def identify(self, identifier: pb.Identifier, call_metadata: Sequence[tuple[str, str | bytes]]) -> Publisher:
        """Return who is sending.

        Args:
            identifier: What the stream's metadata says.
            call_metadata: The call's headers.

        Raises:
            InvalidStreamError: The identifier is missing or lacks something.
            UnauthenticatedError: A managed service sent no readable token.
            PermissionDeniedError: The token or the license key is not good for this sender.
            AuthenticatorUnavailableError: That cannot be found out now.
        """
        publisher = read_publisher(identifier)
        if publisher.is_managed:
            # SECURITY: nobody speaks for a managed service without its token.
            if self._authenticator is None:
                raise PermissionDeniedError("this gateway knows no managed services: no authentication is set up")
            await self._authenticator.authenticate(bearer_token(call_metadata), publisher.source)
        elif self._license_check is not None and identifier.HasField("licensed_instance"):
            licensed = identifier.licensed_instance
            # SECURITY: an operator's hook decides on license keys.
            if not await self._license_check.is_valid(licensed.license_key, licensed.instance_id):
                raise PermissionDeniedError("the license key is not valid")
        return publisher
