"""The admin page's settings, from the environment or from arguments."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import Field, SecretStr

from telemetry_runtime.listening import (
    ListenAddress,
    ProxyAddresses,
    is_loopback,
    listening_faults,
    split_list,
    split_listen_address,
)
from telemetry_runtime.settings import Duration
from telemetry_store.settings import DatabaseSettings

_PREFIX = "TELEMETRY_ADMIN_"
MIN_TOKEN_LENGTH = 16


class AdminSettings(DatabaseSettings):
    """Everything that the admin page can be told. What may leave, which it shows, is `PrivacySettings`."""

    listen_addr: ListenAddress = Field(
        default="127.0.0.1:10090",
        validation_alias=f"{_PREFIX}LISTEN_ADDR",
        description="Where to listen, `host:port`. On other addresses than loopback a token is required, and TLS or "
        "the insecure switch.",
    )
    token: SecretStr | None = Field(
        default=None,
        validation_alias=f"{_PREFIX}TOKEN",
        description=f"Who knows it may look and requeue; at least {MIN_TOKEN_LENGTH} characters. "
        "None: everybody on this machine may.",
    )
    token_file: Path | None = Field(
        default=None,
        validation_alias=f"{_PREFIX}TOKEN_FILE",
        description="A file with the token in it, in place of the variable.",
    )
    allowed_hosts: str = Field(
        default="",
        validation_alias=f"{_PREFIX}ALLOWED_HOSTS",
        description="More names that browsers may reach the page by, separated by commas, without ports; "
        "`localhost` and the listen address are known. `*` for any, with a token.",
    )
    session: Annotated[Duration, Ge(timedelta(minutes=1)), Le(timedelta(days=30))] = Field(
        default=timedelta(hours=12),
        validation_alias=f"{_PREFIX}SESSION",
        description="How long a browser stays logged in.",
    )
    insecure: bool = Field(
        default=False,
        validation_alias=f"{_PREFIX}INSECURE",
        description="Allows plain text on other addresses than loopback, for a proxy in front that speaks TLS.",
    )
    trusted_proxies: ProxyAddresses = Field(
        default="",
        validation_alias=f"{_PREFIX}TRUSTED_PROXIES",
        description="Proxies whose `X-Forwarded-Proto` is believed: addresses or networks, separated by commas.",
    )
    tls_cert_file: Path | None = Field(
        default=None,
        validation_alias=f"{_PREFIX}TLS_CERT_FILE",
        description="PEM file of the server's certificate chain.",
    )
    tls_key_file: Path | None = Field(
        default=None, validation_alias=f"{_PREFIX}TLS_KEY_FILE", description="PEM file of the certificate's key."
    )

    def _faults_together(self) -> Iterator[tuple[str, str]]:
        on_loopback = is_loopback(self.listen_host)
        if self.token is not None and self.token_file is not None:
            yield "token_file", f"stands beside {_PREFIX}TOKEN; keep one of them"
        if self.token is None and self.token_file is None:
            # SECURITY: without a token whoever can connect gets in, so only this machine can.
            if not on_loopback:
                yield "token", "is missing; without a token the page is served on loopback only"
            if "*" in self.hosts:
                yield (
                    "allowed_hosts",
                    "any host (*) needs a token: a page from elsewhere could reach this one by a name",
                )
        else:
            yield from self._token_faults()
        yield from listening_faults(self)

    def _token_faults(self) -> Iterator[tuple[str, str]]:
        field = "token" if self.token_file is None else "token_file"
        try:
            token = self.known_token() or ""
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            yield field, f"{self.token_file} cannot be read: {reason}"
            return
        # SECURITY: long enough that guessing is hopeless, so that no guesses have to be counted.
        if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
            yield field, f"must be at least {MIN_TOKEN_LENGTH} printable ASCII characters without spaces"

    def known_token(self) -> str | None:
        """Returns the token; None where there is none."""
        if self.token_file is not None:
            return self.token_file.read_text(encoding="utf-8").strip()
        return None if self.token is None else self.token.get_secret_value()

    @property
    def listen_host(self) -> str:
        """The host of the listen address."""
        return split_listen_address(self.listen_addr)[0]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The further names that browsers may reach the page by."""
        return tuple(host.lower() for host in split_list(self.allowed_hosts))

    @property
    def proxies(self) -> tuple[str, ...]:
        """The addresses of trusted proxies."""
        return tuple(split_list(self.trusted_proxies))

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The files of the certificate and its key; None for plain text."""
        if self.tls_cert_file is None or self.tls_key_file is None:
            return None
        return self.tls_cert_file, self.tls_key_file
