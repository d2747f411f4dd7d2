"""The publisher of a stream: its identifier, checked, and the name for deduplication and limits."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.errors import InvalidStreamError

MANAGED_SERVICE: Final = "managed_service"
_REQUIRED: Final = {
    "licensed_instance": "license_key",
    "unlicensed_instance": "instance_id",
    MANAGED_SERVICE: "service_id",
}
PUBLISHER_KINDS: Final = tuple(_REQUIRED)
_MAX_SERVICE_ID_LENGTH: Final = 256


@dataclass(frozen=True, slots=True)
class Publisher:
    """A publisher with a complete identifier.

    Attributes:
        kind: `licensed_instance`, `unlicensed_instance` or `managed_service`.
        name: The unique name for deduplication and limits. Contains no license key.
        source: The attribute `publisher.source` of its messages.
    """

    kind: str
    name: str
    source: str

    @property
    def is_managed(self) -> bool:
        """Whether this is a managed service, which must authenticate."""
        return self.kind == MANAGED_SERVICE


def read_publisher(identifier: pb.Identifier) -> Publisher:
    """Return the publisher that an identifier names.

    Raises:
        InvalidStreamError: The identifier is missing or incomplete.
    """
    kind = identifier.WhichOneof("identifier")
    if kind is None:
        raise InvalidStreamError("metadata.identifier", "is missing; set the identifier of the publisher")
    required = _REQUIRED[kind]
    if not getattr(getattr(identifier, kind), required):
        raise InvalidStreamError(f"metadata.identifier.{kind}", f"lacks {required}")
    if kind != MANAGED_SERVICE:
        return Publisher(kind, _instance_name(identifier), kind)
    service_id = identifier.managed_service.service_id
    # SECURITY: consumers route by `publisher.source`, so a service must not have the source of an instance.
    if service_id in _REQUIRED:
        raise InvalidStreamError("metadata.identifier.managed_service", "service_id is reserved for instances")
    if len(service_id) > _MAX_SERVICE_ID_LENGTH:
        raise InvalidStreamError(
            "metadata.identifier.managed_service", f"service_id has more than {_MAX_SERVICE_ID_LENGTH} characters"
        )
    return Publisher(kind, _service(service_id), service_id)


def name_in_json(identifier: Mapping[str, Any]) -> str:
    """Return the publisher's name, as `read_publisher` does, from an identifier in protobuf's JSON format.

    Raises:
        KeyError: The mapping is not a valid identifier.
    """
    if "managedService" in identifier:
        return _service(identifier["managedService"]["serviceId"])
    if "licensedInstance" in identifier:
        licensed = identifier["licensedInstance"]
        return _licensed(licensed["licenseKey"], licensed.get("instanceId", ""))
    return _unlicensed(identifier["unlicensedInstance"]["instanceId"])


def _instance_name(identifier: pb.Identifier) -> str:
    if identifier.HasField("licensed_instance"):
        return _licensed(identifier.licensed_instance.license_key, identifier.licensed_instance.instance_id)
    return _unlicensed(identifier.unlicensed_instance.instance_id)


def _service(service_id: str) -> str:
    return f"service:{service_id}"


def _licensed(license_key: str, instance_id: str) -> str:
    return f"licensed:{hashlib.sha256(license_key.encode()).hexdigest()[:16]}:{instance_id}"


def _unlicensed(instance_id: str) -> str:
    return f"unlicensed:{instance_id}"
