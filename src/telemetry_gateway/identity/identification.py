"""Identify and authorize the publisher of a stream before any of its events is accepted."""

from collections.abc import Sequence
from typing import Protocol

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.errors import PermissionDeniedError
from telemetry_gateway.identity.auth import Authenticator, bearer_token
from telemetry_gateway.publishing.publisher import Publisher, read_publisher


class LicenseCheck(Protocol):
    """Checks license keys; a hook for operators."""

    async def is_valid(self, license_key: str, instance_id: str) -> bool:
        """Return whether this instance may send with this license key.

        Raises:
            AuthenticatorUnavailableError: The key cannot be checked now.
        """
        ...


class Identification:
    """Reads identifiers and checks that their senders may use them.

    Args:
        authenticator: Authenticates managed services, or None to reject all of them.
        license_check: Checks license keys, or None to accept every key.
    """

    def __init__(self, authenticator: Authenticator | None, license_check: LicenseCheck | None = None) -> None:
        self._authenticator = authenticator
        self._license_check = license_check

    async def identify(self, identifier: pb.Identifier, call_metadata: Sequence[tuple[str, str | bytes]]) -> Publisher:
        """Return the publisher of a stream.

        Args:
            identifier: The identifier in the metadata of the stream.
            call_metadata: The headers of the call.

        Raises:
            InvalidStreamError: The identifier is missing or incomplete.
            UnauthenticatedError: A managed service sent no token, or a malformed one.
            PermissionDeniedError: The token or the license key is not valid for this publisher.
            AuthenticatorUnavailableError: The token or the license key cannot be checked now.
        """
        publisher = read_publisher(identifier)
        if publisher.is_managed:
            # SECURITY: a managed service always needs a valid token.
            if self._authenticator is None:
                raise PermissionDeniedError(
                    "this gateway accepts no managed services: authentication is not configured"
                )
            await self._authenticator.authenticate(bearer_token(call_metadata), publisher.source)
        elif self._license_check is not None and identifier.HasField("licensed_instance"):
            licensed = identifier.licensed_instance
            # SECURITY: the operator's hook decides about license keys.
            if not await self._license_check.is_valid(licensed.license_key, licensed.instance_id):
                raise PermissionDeniedError("the license key is not valid")
        return publisher
