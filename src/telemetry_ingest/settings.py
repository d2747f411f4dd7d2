"""The ingest service's settings, from the environment or from arguments."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from annotated_types import Ge, Gt
from pydantic import AfterValidator, Field

from recorder.settings import RecorderSettings
from telemetry_ingest.collection import CollectionPackage, catalog_problem, read_packages
from telemetry_ingest.tokens import read_tokens
from telemetry_runtime.listening import (
    ListenAddress,
    ProxyAddresses,
    certificate_pair,
    listening_faults,
    split_list,
)
from telemetry_runtime.settings import Duration

_PREFIX = "TELEMETRY_INGEST_"
_NOTHING = timedelta()
ANY_ORIGIN = "*"


def _check_origins(value: str) -> str:
    for origin in split_list(value):
        parts = urlsplit(origin)
        is_origin = parts.scheme in ("http", "https") and parts.netloc and origin == f"{parts.scheme}://{parts.netloc}"
        if origin != ANY_ORIGIN and not is_origin:
            raise ValueError("must be origins such as https://app.example.com, separated by commas; or * for any")
    return value


def _check_tokens(value: Path) -> Path:
    read_tokens(value)
    return value


def _check_packages(value: Path) -> Path:
    read_packages(value)
    return value


class IngestSettings(RecorderSettings):
    """Everything that the ingest service can be told. What may leave of what it records is `RecorderSettings`."""

    listen_addr: ListenAddress = Field(
        "127.0.0.1:10081",
        validation_alias=f"{_PREFIX}LISTEN_ADDR",
        description="Where to listen, `host:port`. Without TLS only on loopback, or with the insecure switch.",
    )
    insecure: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        validation_alias=f"{_PREFIX}INSECURE",
        description="Allows plain text on other addresses than loopback, for a proxy in front that speaks TLS.",
    )
    tls_cert_file: Path | None = Field(
        None, validation_alias=f"{_PREFIX}TLS_CERT_FILE", description="PEM file of the server's certificate chain."
    )
    tls_key_file: Path | None = Field(
        None, validation_alias=f"{_PREFIX}TLS_KEY_FILE", description="PEM file of the certificate's key."
    )
    trusted_proxies: ProxyAddresses = Field(
        "",
        validation_alias=f"{_PREFIX}TRUSTED_PROXIES",
        description="Proxies whose `X-Forwarded-For` is believed: addresses or networks, separated by commas.",
    )
    tokens_file: Annotated[Path, AfterValidator(_check_tokens)] | None = Field(
        None,
        validation_alias=f"{_PREFIX}TOKENS_FILE",
        description="TOML file of the tokens that callers may show, by their hashes; see `telemetry ingest token`. "
        "Read again when it changes.",
    )
    anonymous: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        validation_alias=f"{_PREFIX}ANONYMOUS",
        description="Whether callers without a token may record.",
    )
    collection_file: Annotated[Path, AfterValidator(_check_packages)] | None = Field(
        None,
        validation_alias=f"{_PREFIX}COLLECTION_FILE",
        description="The reviewed TOML file of the URLs that anybody may ping; none: there are none.",
    )
    cors_origins: Annotated[str, AfterValidator(_check_origins)] = Field(
        "",
        validation_alias=f"{_PREFIX}CORS_ORIGINS",
        description="Origins whose pages may record from browsers, separated by commas; `*`: any; none: its own only.",
    )
    max_body_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        validation_alias=f"{_PREFIX}MAX_BODY_BYTES",
        description="The largest body of a GraphQL request.",
    )
    max_events: int = Field(
        1000,
        ge=1,
        le=100_000,
        validation_alias=f"{_PREFIX}MAX_EVENTS",
        description="The most events that one GraphQL request may record.",
    )
    body_timeout: Annotated[Duration, Gt(_NOTHING)] = Field(
        timedelta(seconds=10),
        validation_alias=f"{_PREFIX}BODY_TIMEOUT",
        description="How long a request's body may take to come.",
    )
    requests_per_second: Annotated[float, Ge(0)] = Field(
        50,
        validation_alias=f"{_PREFIX}REQUESTS_PER_SECOND",
        description="How many requests one address may send a second; 0: any number. No address is stored.",
    )
    burst: Annotated[Duration, Gt(_NOTHING)] = Field(
        timedelta(seconds=10),
        validation_alias=f"{_PREFIX}BURST",
        description="How much of this an address that was silent may use at once.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        validation_alias=f"{_PREFIX}MAX_CONNECTIONS",
        description="Connections past this number are answered 503.",
    )
    metrics_addr: ListenAddress | None = Field(
        None,
        validation_alias=f"{_PREFIX}METRICS_ADDR",
        description="Where Prometheus metrics are served over plain HTTP, `host:port`; none: nowhere.",
    )
    drain_timeout: Annotated[Duration, Ge(_NOTHING)] = Field(
        timedelta(seconds=10),
        validation_alias=f"{_PREFIX}DRAIN_TIMEOUT",
        description="How long SIGTERM waits for requests to end.",
    )

    def _faults_together(self) -> Iterator[tuple[str, str]]:
        yield from super()._faults_together()
        if (catalog := self.catalog()) is not None and (problem := catalog_problem(self.packages(), catalog)):
            yield "collection_file", problem
        yield from listening_faults(self)

    @property
    def allowed_origins(self) -> Sequence[str]:
        """The origins whose pages may record."""
        return split_list(self.cors_origins)

    @property
    def proxies(self) -> Sequence[str]:
        """The proxies that are believed."""
        return split_list(self.trusted_proxies)

    def packages(self) -> list[CollectionPackage]:
        """Returns the event collection packages.

        Raises:
            InvalidPackagesError: The file cannot be read any more, or breaks its format.
        """
        return [] if self.collection_file is None else read_packages(self.collection_file)

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The files of certificate and key; None for plain text."""
        return certificate_pair(self)
