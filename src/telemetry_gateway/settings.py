"""The gateway's settings, from the environment or from arguments."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, Field, SecretStr

from telemetry_gateway.errors import InvalidServiceTokensError
from telemetry_gateway.identity.service_tokens import read_service_tokens
from telemetry_runtime.certificates import authorities_problem
from telemetry_runtime.listening import ListenAddress, listening_faults
from telemetry_runtime.loopback import is_loopback
from telemetry_runtime.settings import Duration, EnvironmentSettings, variables_named

_PREFIX = "TELEMETRY_GATEWAY_"


class SinkKind(Enum):
    """The available sinks."""

    STDOUT = "stdout"
    JSONL = "jsonl"
    NATS = "nats"
    PLUGIN = "plugin"


def _check_authority_url(value: str) -> str:
    parts = urlsplit(value)
    # SECURITY: tokens, secrets and the keys that verify tokens are sent to and received from this URL.
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return value
    raise ValueError("must be https://, or http:// on loopback")


AuthorityUrl = Annotated[str, AfterValidator(_check_authority_url)]


class GatewaySettings(EnvironmentSettings):
    """The settings of a gateway."""

    model_config = variables_named(_PREFIX)

    listen_addr: ListenAddress = Field(
        "127.0.0.1:10080",
        description="Address to listen on, `host:port`. Without TLS only loopback, unless `INSECURE` is set.",
    )
    insecure: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        description="Allow plain text on addresses other than loopback, for example behind a TLS proxy.",
    )
    tls_cert_file: Path | None = Field(None, description="PEM file of the server's certificate chain.")
    tls_key_file: Path | None = Field(None, description="PEM file of the certificate's key.")
    tls_client_ca_file: Path | None = Field(
        None,
        description="PEM file of authorities. If set, each client must present a certificate from one of them.",
    )
    sink: SinkKind = Field(
        SinkKind.JSONL,
        description="Sink to publish to: `jsonl`, `stdout`, `nats` (JetStream), or `plugin` (from another package).",
    )
    sink_file: Path = Field(
        Path("telemetry-events.jsonl"),
        description="File of the sink `jsonl`.",
    )
    sink_max_message_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        description="Largest message in bytes that the sink accepts. Larger events are rejected.",
    )
    sink_rotate_bytes: Annotated[int, Gt(0)] | None = Field(
        None,
        description="Size in bytes at which the sink `jsonl` starts a new file. If unset, size is not limited.",
    )
    sink_rotate_interval: Annotated[Duration, Ge(timedelta(seconds=1))] | None = Field(
        None,
        description="Interval (UTC) at which the sink `jsonl` starts a new file: `24h` for one file per day.",
    )
    sink_compress: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        description="Compress the files that the sink `jsonl` has closed (gzip).",
    )
    sink_plugin: str | None = Field(
        None,
        description="Name of the entry point of the sink `plugin`, in the group `telemetry.gateway.sinks`.",
    )
    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        description="Server URLs of the sink `nats`, separated by commas; `tls://` for TLS.",
    )
    nats_stream: str = Field(
        "TELEMETRY_EVENTS",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="JetStream stream. Created if missing; rejected if it would lose acknowledged events.",
    )
    nats_subject: str = Field(
        "telemetry.events",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        description="NATS subject of the messages.",
    )
    nats_credentials_file: Path | None = Field(None, description="Credentials file of the NATS user.")
    nats_replicas: int = Field(
        1,
        ge=1,
        le=5,
        description="Number of replicas of a stream that the gateway creates.",
    )
    nats_min_age: Annotated[Duration, Ge(timedelta())] = Field(
        timedelta(hours=24),
        description="Least `max_age` of the stream. A stream that deletes messages earlier is rejected.",
    )
    nats_timeout: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(seconds=5),
        description="Timeout for the acknowledgement of a message by NATS.",
    )
    deduplication_file: Path = Field(
        Path("telemetry-gateway.db"),
        description="SQLite file of the event ids that were published within the window.",
    )
    deduplication_window: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(hours=24),
        description="How long an event id is recognized as a duplicate.",
    )
    rejects_file: Path = Field(
        Path("telemetry-rejects.jsonl"),
        description="File of rejected events with the reasons.",
    )
    rejects_max_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024,
        description="Size in bytes above which the file of rejected events is renamed to `<name>.1`.",
    )
    service_tokens_file: Path | None = Field(
        None,
        description='TOML file of managed services\' tokens, one per line: `my-service = "token"`. '
        "Read again when it changes.",
    )
    jwt_jwks_url: AuthorityUrl | None = Field(
        None,
        description="URL of the keys (JWKS) that verify managed services' JWTs.",
    )
    jwt_issuer: str | None = Field(None, description="Required value of a JWT's `iss` claim.")
    jwt_audience: str | None = Field(None, description="Value that a JWT's `aud` claim must contain.")
    introspection_url: AuthorityUrl | None = Field(
        None,
        description="Introspection endpoint (RFC 7662) for managed services' tokens.",
    )
    introspection_client_id: str | None = Field(
        None,
        description="Client id of the gateway at the introspection endpoint.",
    )
    introspection_client_secret: SecretStr | None = Field(
        None, description="Client secret of the gateway at the introspection endpoint."
    )
    introspection_cache: Annotated[Duration, Ge(timedelta()), Le(timedelta(minutes=10))] = Field(
        timedelta(seconds=30),
        description="How long to cache an introspection response. A revoked token may be accepted for this time.",
    )
    authority_ca_file: Path | None = Field(
        None,
        description="PEM file of trusted authorities for the JWKS and introspection URLs. If unset, the system's.",
    )
    token_service_claim: str | None = Field(
        None,
        description="Claim of a JWT or introspected token that must be the service's id, such as `client_id`. "
        "If unset, a token with the required scope may publish as any managed service.",
    )
    max_streams: int = Field(100, ge=1, description="Largest number of concurrent streams.")
    events_per_second: Annotated[float, Gt(0)] | None = Field(
        None,
        description="Events per second that one publisher may send. If unset, unlimited.",
    )
    bytes_per_second: Annotated[float, Gt(0)] | None = Field(
        None,
        description="Bytes per second that one publisher may send. If unset, unlimited.",
    )
    burst: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(seconds=10),
        description="Time over which a publisher may save up its limits for a burst, while it sends nothing.",
    )
    connection_idle: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(minutes=10),
        description="Time after which a connection without streams is closed.",
    )
    connection_age: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(hours=1),
        description="Time after which a connection accepts no new streams, so that load is spread over replicas.",
    )
    connection_age_grace: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(minutes=5),
        description="How long streams may continue after the connection has reached `CONNECTION_AGE`.",
    )
    metrics_addr: ListenAddress | None = Field(
        None,
        description="Address of the port for Prometheus metrics (plain HTTP), `host:port`. If unset, none is opened.",
    )
    stream_silence: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(minutes=2),
        description="Time without a message after which a stream is ended.",
    )
    drain_timeout: Annotated[Duration, Ge(timedelta())] = Field(
        timedelta(seconds=10),
        description="How long to wait for streams to end after SIGTERM.",
    )

    def _faults_together(self) -> Iterator[tuple[str, str]]:
        yield from listening_faults(self)
        if self.tls_client_ca_file is not None and self.tls_cert_file is None:
            yield "tls_client_ca_file", "needs a server certificate; set TLS_CERT_FILE and TLS_KEY_FILE"
        yield from self._authority_faults()
        if self.sink is SinkKind.PLUGIN and self.sink_plugin is None:
            yield "sink_plugin", "is missing; set the name of the plug-in's entry point"
        if any(urlsplit(server).username or urlsplit(server).password for server in self.nats_servers):
            yield "nats_url", "must not contain credentials, because URLs are logged; set NATS_CREDENTIALS_FILE"
        for field in ("service_tokens_file", "nats_credentials_file"):
            path: Path | None = getattr(self, field)
            if path is not None and not path.is_file():
                yield field, f"there is no file {path}"
        for field in ("tls_client_ca_file", "authority_ca_file"):
            authorities: Path | None = getattr(self, field)
            if authorities is not None and (problem := authorities_problem(authorities)):
                yield field, problem
        if self.service_tokens_file is not None and self.service_tokens_file.is_file():
            try:
                read_service_tokens(self.service_tokens_file)
            except InvalidServiceTokensError as error:
                yield "service_tokens_file", str(error)

    def _authority_faults(self) -> Iterator[tuple[str, str]]:
        for fields in (
            ("jwt_jwks_url", "jwt_issuer", "jwt_audience"),
            ("introspection_url", "introspection_client_id", "introspection_client_secret"),
        ):
            missing = [field for field in fields if getattr(self, field) is None]
            if len(missing) < len(fields):
                together = ", ".join(self.variable_of(field) for field in fields)
                yield from ((field, f"is missing; set all of {together}") for field in missing)

    @property
    def nats_servers(self) -> Sequence[str]:
        """The URLs in `nats_url`."""
        return [server.strip() for server in self.nats_url.split(",")]
