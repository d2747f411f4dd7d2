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
from telemetry_runtime.settings import Duration, variables_named

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
    """Settings of the ingest service. What may be exported is in `RecorderSettings`."""

    model_config = variables_named(_PREFIX)

    listen_addr: ListenAddress = Field(
        "127.0.0.1:10081",
        description="Address to listen on, `host:port`. Without TLS only loopback is allowed, or the insecure switch.",
    )
    insecure: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        description="Allow plain text on addresses other than loopback, behind a proxy that terminates TLS.",
    )
    tls_cert_file: Path | None = Field(None, description="PEM file of the server's certificate chain.")
    tls_key_file: Path | None = Field(None, description="PEM file of the certificate's key.")
    trusted_proxies: ProxyAddresses = Field(
        "",
        description="Proxies whose `X-Forwarded-For` is trusted: addresses or networks, separated by commas.",
    )
    tokens_file: Annotated[Path, AfterValidator(_check_tokens)] | None = Field(
        None,
        description="TOML file with the hashes of the tokens that are accepted; see `telemetry ingest token`. "
        "Reloaded when it changes.",
    )
    anonymous: bool = Field(
        False,  # noqa: FBT003 - the default of a field
        description="Allow callers without a token to record.",
    )
    collection_file: Annotated[Path, AfterValidator(_check_packages)] | None = Field(
        None,
        description="Reviewed TOML file of event collection packages (public ping URLs). None: no pings are accepted.",
    )
    cors_origins: Annotated[str, AfterValidator(_check_origins)] = Field(
        "",
        description="Origins whose pages may record from browsers (CORS), separated by commas; `*` for any; "
        "empty for its own origin only.",
    )
    max_body_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Maximum size of the body of a GraphQL request, in bytes.",
    )
    max_events: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Maximum number of events in a GraphQL request.",
    )
    body_timeout: Annotated[Duration, Gt(_NOTHING)] = Field(
        timedelta(seconds=10),
        description="Timeout for reading the body of a request.",
    )
    requests_per_second: Annotated[float, Ge(0)] = Field(
        50,
        description="Requests per second allowed for one address; 0 for no limit. Addresses are not stored.",
    )
    burst: Annotated[Duration, Gt(_NOTHING)] = Field(
        timedelta(seconds=10),
        description="An address that was idle may send the requests of this time at once.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="Maximum number of connections; further ones get status 503.",
    )
    metrics_addr: ListenAddress | None = Field(
        None,
        description="Address to serve Prometheus metrics on, over plain HTTP, `host:port`. None: not served.",
    )
    drain_timeout: Annotated[Duration, Ge(_NOTHING)] = Field(
        timedelta(seconds=10),
        description="How long to wait for running requests after SIGTERM.",
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
        """The trusted proxies."""
        return split_list(self.trusted_proxies)

    def packages(self) -> list[CollectionPackage]:
        """Read the event collection packages.

        Raises:
            InvalidPackagesError: The file can no longer be read, or is invalid.
        """
        return [] if self.collection_file is None else read_packages(self.collection_file)

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The files of certificate and key; None for plain text."""
        return certificate_pair(self)
