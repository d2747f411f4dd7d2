"""The exporter's settings, from the environment or from arguments."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Ge, Le
from pydantic import AfterValidator, Field, SecretStr

from export.address import GatewayAddress, parse_gateway_address
from export.bearer_token import check_token
from telemetry.scopes import EVENTS_WRITE_SCOPE
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_runtime.certificates import authorities_problem, pair_problem
from telemetry_runtime.listening import ListenAddress
from telemetry_runtime.settings import Duration, PositiveDuration, variables_named
from telemetry_store.settings import DatabaseSettings

_PREFIX = "TELEMETRY_GATEWAY_EXPORTER_"
_NOTHING = timedelta()
# A request and one more event (64 KiB by default, 1 MiB at most) must stay below gRPC's limit of 4 MiB.
_MAX_CHUNK_BYTES = 2 * 1024 * 1024


def _check_address(value: str) -> str:
    parse_gateway_address(value)
    return value


def _check_secret_token(value: SecretStr) -> SecretStr:
    check_token(value.get_secret_value())
    return value


def _check_token_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # SECURITY: the client secret is sent to this URL.
    if not usable:
        raise ValueError("must be https://host, with a path if the server needs one")
    return value


class ExporterSettings(DatabaseSettings):
    """The settings of the export job. `PrivacySettings` decides which events may be exported."""

    model_config = variables_named(_PREFIX)

    database_timeout: PositiveDuration = Field(
        default=timedelta(minutes=5),
        description="How long a pass waits for a response of PostgreSQL. After that it ends, and the next one retries.",
    )
    export_addr: Annotated[str, AfterValidator(_check_address)] | None = Field(
        default=None,
        description="The address of the gateway, `https://host:port`. `http://` is allowed for loopback, "
        "or if the insecure setting is on; none: nothing is exported.",
    )
    export_interval: Annotated[PositiveDuration, Le(timedelta(hours=1))] = Field(
        default=timedelta(minutes=5),
        description="Time between two passes, varied at random by up to a tenth.",
    )
    export_batch_size: int = Field(
        default=10_000,
        ge=100,
        le=100_000,
        description="Number of events leased at a time.",
    )
    exported_events_retention: Annotated[Duration, Ge(_NOTHING)] = Field(
        default=timedelta(hours=24),
        description="How long exported events are kept in the queue; `0`: until the next cleanup.",
    )
    queue_cleanup_interval: PositiveDuration = Field(
        default=timedelta(minutes=30),
        description="Time between two cleanups.",
    )
    metrics_interval: PositiveDuration = Field(
        default=timedelta(minutes=1),
        description="Time between two measurements of the queue.",
    )
    metrics_addr: ListenAddress | None = Field(
        default=None,
        description="The address, `host:port`, where `telemetry export run` serves Prometheus metrics over plain HTTP, "
        "for example `127.0.0.1:9464`; none: nowhere.",
    )
    event_logs_retention: Annotated[Duration, Ge(timedelta(days=1))] | None = Field(
        default=None,
        validation_alias="TELEMETRY_EVENT_LOGS_RETENTION",
        description="How long `event_logs` keeps a row; none: forever.",
    )
    rpc_deadline: PositiveDuration = Field(
        default=timedelta(minutes=1),
        description="The longest time that one stream may take; must be shorter than the lease.",
    )
    lease: PositiveDuration = Field(
        default=timedelta(minutes=5),
        description="How long an exporter holds events. If it crashes, they are due again after this time.",
    )
    chunk_bytes: int = Field(
        default=1024 * 1024,
        ge=64 * 1024,
        le=_MAX_CHUNK_BYTES,
        description="The size of one serialized message to the gateway, in bytes.",
    )
    shutdown_timeout: Annotated[Duration, Ge(_NOTHING)] = Field(
        default=timedelta(seconds=10),
        description="How long SIGTERM waits for acknowledgements of sent events.",
    )
    insecure: bool = Field(
        default=False,
        description="Allow `http://` to a gateway on another machine. Credentials are rejected even then.",
    )
    tls_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the trusted certificate authorities, for the gateway and the token URL; "
        "none: the system's.",
    )
    tls_cert_file: Path | None = Field(default=None, description="PEM file of the client certificate.")
    tls_key_file: Path | None = Field(default=None, description="PEM file of the client certificate's key.")
    license_key: SecretStr | None = Field(
        default=None,
        validation_alias="TELEMETRY_LICENSE_KEY",
        description="The license key; makes this a licensed instance.",
    )
    instance_id: str | None = Field(
        default=None,
        validation_alias="TELEMETRY_INSTANCE_ID",
        description="The id of the instance; without a license key, it is unlicensed.",
    )
    external_url: str | None = Field(
        default=None, validation_alias="TELEMETRY_EXTERNAL_URL", description="The URL of the instance for its users."
    )
    service_id: str | None = Field(
        default=None,
        validation_alias="TELEMETRY_SERVICE_ID",
        description="The id of the managed service; makes this a managed service, which must authenticate.",
    )
    service_environment: str | None = Field(
        default=None, validation_alias="TELEMETRY_SERVICE_ENVIRONMENT", description="The managed service's environment."
    )
    bearer_token: Annotated[SecretStr, AfterValidator(_check_secret_token)] | None = Field(
        default=None, description="A static token for the gateway."
    )
    oauth_token_url: Annotated[str, AfterValidator(_check_token_url)] | None = Field(
        default=None,
        description="The `https://` URL that exchanges OAuth 2.0 client credentials for a token.",
    )
    oauth_client_id: str | None = Field(default=None, description="The OAuth 2.0 client id.")
    oauth_client_secret: SecretStr | None = Field(default=None, description="The OAuth 2.0 client secret.")
    oauth_scope: str = Field(default=EVENTS_WRITE_SCOPE, description="The OAuth 2.0 scope to request.")

    def _faults_together(self) -> Iterator[tuple[str, str]]:
        if self.rpc_deadline + self.shutdown_timeout >= self.lease:
            yield "lease", "must be longer than the RPC deadline and the shutdown timeout together"
        yield from self._transport_faults()
        yield from self._identity_faults()
        yield from self._credentials_faults()
        yield from self._certificate_faults()

    def _transport_faults(self) -> Iterator[tuple[str, str]]:
        address = self.address
        if address is not None and not address.secure:
            # SECURITY: plain text is sent to another machine only if an operator allows it.
            if not address.is_loopback and not self.insecure:
                yield (
                    "export_addr",
                    f"plain http:// is allowed only for loopback; use https:// or set {_PREFIX}INSECURE=true",
                )
            # SECURITY: a token is never sent over plain text, not even to loopback.
            if self.bearer_token or self.oauth_client_id:
                yield "export_addr", "credentials are never sent over plain http://; use https://"
            # SECURITY: a license key identifies a licensed instance.
            if self.license_key is not None and not address.is_loopback:
                yield "export_addr", "a license key is never sent over plain http:// to another machine; use https://"

    def _certificate_faults(self) -> Iterator[tuple[str, str]]:
        if self.tls_ca_file is not None and (problem := authorities_problem(self.tls_ca_file)):
            yield "tls_ca_file", problem
        if problem := pair_problem(self.tls_cert_file, self.tls_key_file, self.variable_of("tls_key_file")):
            yield "tls_cert_file", problem

    def _identity_faults(self) -> Iterator[tuple[str, str]]:
        if self.service_id is not None and (self.license_key is not None or self.instance_id is not None):
            yield "service_id", "must not be set with a license key or an instance id; keep one kind of identity"
        if self.license_key is not None and self.instance_id is None:
            yield "instance_id", "is missing; a licensed instance needs an id as well"
        if self.export_addr is None:
            return
        if self.service_id is None and self.instance_id is None and self.license_key is None:
            yield "instance_id", "is missing; set the id of the instance, or TELEMETRY_SERVICE_ID"
        if self.service_id is not None and self.bearer_token is None and self.oauth_token_url is None:
            yield "bearer_token", "is missing; a managed service must authenticate with a token or client credentials"

    def _credentials_faults(self) -> Iterator[tuple[str, str]]:
        oauth = ("oauth_token_url", "oauth_client_id", "oauth_client_secret")
        missing = [name for name in oauth if getattr(self, name) is None]
        if len(missing) < len(oauth):
            for name in missing:
                yield name, "is missing; client credentials need token URL, client id and client secret"
            if self.bearer_token is not None:
                yield "bearer_token", "must not be set with client credentials; keep one of them"

    @property
    def address(self) -> GatewayAddress | None:
        """The address of the gateway; None if nothing is exported."""
        return None if self.export_addr is None else parse_gateway_address(self.export_addr)

    def identifier(self) -> pb.Identifier:
        """Return the identity of this exporter."""
        identifier = pb.Identifier()
        if self.service_id is not None:
            identifier.managed_service.service_id = self.service_id
            if self.service_environment is not None:
                identifier.managed_service.service_environment = self.service_environment
        elif self.license_key is not None:
            identifier.licensed_instance.license_key = self.license_key.get_secret_value()
            identifier.licensed_instance.instance_id = self.instance_id or ""
            identifier.licensed_instance.external_url = self.external_url or ""
        else:
            identifier.unlicensed_instance.instance_id = self.instance_id or ""
            identifier.unlicensed_instance.external_url = self.external_url or ""
        return identifier

    def secrets(self) -> tuple[str, ...]:
        """Return all secrets, to mask them in texts from peers before these are logged."""
        values = (self.license_key, self.bearer_token, self.oauth_client_secret)
        return tuple(value.get_secret_value() for value in values if value is not None)
