"""Addresses that services listen on, in the form `host:port`.

`ListenAddress` and `ProxyAddresses` are types of settings. Import this module only where a process starts.
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import AfterValidator

from telemetry_runtime.certificates import pair_problem
from telemetry_runtime.loopback import is_loopback

_HIGHEST_PORT = 65_535


def split_list(value: str) -> list[str]:
    """Return the items of a comma-separated setting."""
    return [word.strip() for word in value.split(",") if word.strip()]


def split_listen_address(value: str) -> tuple[str, int]:
    """Return host and port of `host:port`; an IPv6 address is written in brackets.

    Raises:
        ValueError: The text does not have this form.
    """
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise ValueError("must be host:port, such as 127.0.0.1:10080; port 0 selects any free port")
    return host.strip("[]"), int(port)


def join_listen_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ListeningSettings(Protocol):
    """The address that a service listens on, and whether connections to it are encrypted."""

    listen_addr: str
    insecure: bool
    tls_cert_file: Path | None
    tls_key_file: Path | None

    def variable_of(self, field: str) -> str:
        """Return the environment variable that sets a field."""
        ...


def certificate_pair(settings: ListeningSettings) -> tuple[Path, Path] | None:
    """Return the files of the certificate and its key, or None for plain text."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return settings.tls_cert_file, settings.tls_key_file


def listening_faults(settings: ListeningSettings) -> Iterator[tuple[str, str]]:
    """Yield the settings that contradict each other: the field, and what is wrong."""
    certificate = settings.tls_cert_file
    if problem := pair_problem(certificate, settings.tls_key_file, settings.variable_of("tls_key_file")):
        yield "tls_cert_file", problem
    # SECURITY: a service accepts plain text from other machines only if an operator has allowed it.
    if certificate is None and not settings.insecure and not is_loopback(split_listen_address(settings.listen_addr)[0]):
        insecure = settings.variable_of("insecure")
        yield "listen_addr", f"plain text is allowed only on loopback; set TLS files, or {insecure}=true behind a proxy"


def _check_proxies(value: str) -> str:
    for proxy in split_list(value):
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas") from None
    return value


def _check_listen_address(value: str) -> str:
    split_listen_address(value)
    return value


ListenAddress = Annotated[str, AfterValidator(_check_listen_address)]
"""A setting of the form `host:port`."""

ProxyAddresses = Annotated[str, AfterValidator(_check_proxies)]
"""A setting with the addresses of trusted proxies, separated by commas."""
