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
    certificate_pair,
    listening_faults,
    split_list,
    split_listen_address,
)
from telemetry_runtime.loopback import is_loopback
from telemetry_runtime.settings import Duration, variables_named
from telemetry_store.settings import DatabaseSettings

_PREFIX = "TELEMETRY_ADMIN_"
MIN_TOKEN_LENGTH = 16


class AdminSettings(DatabaseSettings):
    """Settings of the admin page. What may leave the instance is in `PrivacySettings`."""

    model_config = variables_named(_PREFIX)

    listen_addr: ListenAddress = Field(
        default="127.0.0.1:10090",
        description="Address to listen on, `host:port`. Addresses other than loopback require a token, and TLS or "
        "the insecure switch.",
    )
    token: SecretStr | None = Field(
        default=None,
        description=f"Token that grants access to the page and its buttons; at least {MIN_TOKEN_LENGTH} characters. "
        "None: every user of this machine has access.",
    )
    token_file: Path | None = Field(
        default=None,
        description="File that contains the token, instead of the variable.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names that browsers may use for the page, separated by commas, without ports; "
        "`localhost` and the listen address are always allowed. `*` allows any, with a token.",
    )
    session: Annotated[Duration, Ge(timedelta(minutes=1)), Le(timedelta(days=30))] = Field(
        default=timedelta(hours=12),
        description="How long a browser stays logged in.",
    )
    insecure: bool = Field(
        default=False,
        description="Allow plain text on addresses other than loopback, behind a proxy that terminates TLS.",
    )
    trusted_proxies: ProxyAddresses = Field(
        default="",
        description="Proxies whose `X-Forwarded-Proto` is trusted: addresses or networks, separated by commas.",
    )
    tls_cert_file: Path | None = Field(
        default=None,
        description="PEM file of the server's certificate chain.",
    )
    tls_key_file: Path | None = Field(default=None, description="PEM file of the certificate's key.")

    def _faults_together(self) -> Iterator[tuple[str, str]]:
        on_loopback = is_loopback(self.listen_host)
        if self.token is not None and self.token_file is not None:
            yield "token_file", f"cannot be used together with {_PREFIX}TOKEN; remove one of them"
        if self.token is None and self.token_file is None:
            # SECURITY: without a token every client that can connect has access, so only this machine may connect.
            if not on_loopback:
                yield "token", "is missing; without a token the page is served on loopback only"
            if "*" in self.hosts:
                yield (
                    "allowed_hosts",
                    "any host (*) requires a token; without one another site could read this page (DNS rebinding)",
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
        # SECURITY: long enough that guessing is infeasible, so that failed attempts need no limit.
        if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
            yield field, f"must be at least {MIN_TOKEN_LENGTH} printable ASCII characters without spaces"

    def known_token(self) -> str | None:
        """Return the token, or None if no token is set."""
        if self.token_file is not None:
            return self.token_file.read_text(encoding="utf-8").strip()
        return None if self.token is None else self.token.get_secret_value()

    @property
    def listen_host(self) -> str:
        """The host of the listen address."""
        return split_listen_address(self.listen_addr)[0]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The additional host names that browsers may use for the page."""
        return tuple(host.lower() for host in split_list(self.allowed_hosts))

    @property
    def proxies(self) -> tuple[str, ...]:
        """The addresses of trusted proxies."""
        return tuple(split_list(self.trusted_proxies))

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The files of the certificate and its key; None for plain text."""
        return certificate_pair(self)
