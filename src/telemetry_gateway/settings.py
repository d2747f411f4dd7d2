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
    """Where a gateway publishes."""

    STDOUT = "stdout"
    JSONL = "jsonl"
    NATS = "nats"
    PLUGIN = "plugin"


def _check_authority_url(value: str) -> str:
    parts = urlsplit(value)
    # SECURITY: tokens, secrets and the keys that decide about tokens travel to and from this URL.
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return value
    raise ValueError("must be https://, or http:// on loopback")


AuthorityUrl = Annotated[str, AfterValidator(_check_authority_url)]


class GatewaySettings(EnvironmentSettings):
    """Everything that a gateway can be told."""

    model_config = variables_named(_PREFIX)

    listen_addr: ListenAddress = Field(
        "127.0.0.1:10080",
        description="Where to listen, `host:port`. Without TLS only on loopback, or with the insecure switch.",
    )
    insecure: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        description="Allows plain text on other addresses than loopback, for a proxy in front that speaks TLS.",
    )
    tls_cert_file: Path | None = Field(None, description="PEM file of the server's certificate chain.")
    tls_key_file: Path | None = Field(None, description="PEM file of the certificate's key.")
    tls_client_ca_file: Path | None = Field(
        None,
        description="PEM file of authorities; with it every client must show a certificate of theirs.",
    )
    sink: SinkKind = Field(
        SinkKind.JSONL,
        description="Where to publish: `jsonl`, `stdout`, `nats` (JetStream), or `plugin` (another package's).",
    )
    sink_file: Path = Field(
        Path("telemetry-events.jsonl"),
        description="The file of the sink `jsonl`.",
    )
    sink_max_message_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        description="The largest message that the sink takes; a larger event is rejected with its size.",
    )
    sink_rotate_bytes: Annotated[int, Gt(0)] | None = Field(
        None,
        description="The sink `jsonl` begins a new file before one grows larger than this; none: never for its size.",
    )
    sink_rotate_interval: Annotated[Duration, Ge(timedelta(seconds=1))] | None = Field(
        None,
        description="The sink `jsonl` begins a new file when a new interval of UTC has begun, `24h` for one a day.",
    )
    sink_compress: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        description="Whether files that the sink `jsonl` has closed are compressed (gzip).",
    )
    sink_plugin: str | None = Field(
        None,
        description="The entry point of the sink `plugin`, in the group `telemetry.gateway.sinks`.",
    )
    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        description="Servers of the sink `nats`, comma separated; `tls://` for TLS.",
    )
    nats_stream: str = Field(
        "TELEMETRY_EVENTS",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="The JetStream stream; made when there is none, refused when it would lose acknowledged events.",
    )
    nats_subject: str = Field(
        "telemetry.events",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        description="The subject of every message.",
    )
    nats_credentials_file: Path | None = Field(None, description="The NATS user's credentials file.")
    nats_replicas: int = Field(
        1,
        ge=1,
        le=5,
        description="How many servers hold a stream that the gateway makes.",
    )
    nats_min_age: Annotated[Duration, Ge(timedelta())] = Field(
        timedelta(hours=24),
        description="A stream that drops messages sooner than this is refused.",
    )
    nats_timeout: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(seconds=5),
        description="How long to wait for NATS to acknowledge a message.",
    )
    deduplication_file: Path = Field(
        Path("telemetry-gateway.db"),
        description="SQLite file of the ids published within the window.",
    )
    deduplication_window: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(hours=24),
        description="How long an id is recognized as a duplicate.",
    )
    rejects_file: Path = Field(
        Path("telemetry-rejects.jsonl"),
        description="Where events that can never succeed are kept, with the reason.",
    )
    rejects_max_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1024,
        description="Past this size the file of rejects is put aside as `<name>.1`, in place of the former one.",
    )
    service_tokens_file: Path | None = Field(
        None,
        description='TOML file of managed services\' tokens, a line each: `my-service = "token"`; '
        "read again when it changes. None: managed services are refused.",
    )
    jwt_jwks_url: AuthorityUrl | None = Field(
        None,
        description="Where the issuer of managed services' JWTs publishes its keys (JWKS).",
    )
    jwt_issuer: str | None = Field(None, description="What a JWT's `iss` must be.")
    jwt_audience: str | None = Field(None, description="What a JWT's `aud` must hold.")
    introspection_url: AuthorityUrl | None = Field(
        None,
        description="Where managed services' tokens are introspected (RFC 7662).",
    )
    introspection_client_id: str | None = Field(
        None,
        description="The gateway's own client id at the introspection URL.",
    )
    introspection_client_secret: SecretStr | None = Field(None, description="The client's secret.")
    introspection_cache: Annotated[Duration, Ge(timedelta()), Le(timedelta(minutes=10))] = Field(
        timedelta(seconds=30),
        description="How long an answer holds, a bad one too; so long a revoked token may still pass.",
    )
    authority_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities to trust at the JWKS and introspection URLs; none: the system's.",
    )
    token_service_claim: str | None = Field(
        None,
        description="The claim of a JWT or introspected token that must be the service's id, such as `client_id`; "
        "none: a token with the scope may publish as any managed service.",
    )
    max_streams: int = Field(100, ge=1, description="How many streams are served at a time.")
    events_per_second: Annotated[float, Gt(0)] | None = Field(
        None,
        description="How many events one publisher may send a second; none: any number.",
    )
    bytes_per_second: Annotated[float, Gt(0)] | None = Field(
        None,
        description="How many bytes one publisher may send a second; none: any number.",
    )
    burst: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(seconds=10),
        description="How much of its limits a publisher that was silent may use at once.",
    )
    connection_idle: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(minutes=10),
        description="A connection without streams is closed after this time.",
    )
    connection_age: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(hours=1),
        description="A connection takes no new streams after this time, so that load spreads over replicas.",
    )
    connection_age_grace: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(minutes=5),
        description="How long the streams of an aged connection may go on.",
    )
    metrics_addr: ListenAddress | None = Field(
        None,
        description="Where Prometheus metrics are served over plain HTTP, `host:port`; none: nowhere.",
    )
    stream_silence: Annotated[Duration, Gt(timedelta())] = Field(
        timedelta(minutes=2),
        description="How long a stream may send nothing before it is ended.",
    )
    drain_timeout: Annotated[Duration, Ge(timedelta())] = Field(
        timedelta(seconds=10),
        description="How long SIGTERM waits for streams to end.",
    )

    def _faults_together(self) -> Iterator[tuple[str, str]]:
        yield from listening_faults(self)
        if self.tls_client_ca_file is not None and self.tls_cert_file is None:
            yield "tls_client_ca_file", "needs a server certificate; set TLS_CERT_FILE and TLS_KEY_FILE"
        yield from self._authority_faults()
        if self.sink is SinkKind.PLUGIN and self.sink_plugin is None:
            yield "sink_plugin", "is missing; name the plug-in's entry point"
        if any(urlsplit(server).username or urlsplit(server).password for server in self.nats_servers):
            yield "nats_url", "must hold no credentials, which would be shown in logs; use NATS_CREDENTIALS_FILE"
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
                yield from ((field, f"is missing; these go together: {together}") for field in missing)

    @property
    def nats_servers(self) -> Sequence[str]:
        """The URLs of NATS."""
        return [server.strip() for server in self.nats_url.split(",")]
