"""Addresses that services listen at, as operators write them: `host:port`.

`ListenAddress` and `ProxyAddresses` are for settings; import this only where a process starts.
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import AfterValidator

from telemetry_runtime.certificates import certificate_problem

_HIGHEST_PORT = 65_535


def split_list(value: str) -> list[str]:
    """Returns what stands between a setting's commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


def split_listen_address(value: str) -> tuple[str, int]:
    """Returns host and port of `host:port`; an IPv6 address stands in brackets.

    Raises:
        ValueError: It is not of that form.
    """
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise ValueError("must be host:port, such as 127.0.0.1:10080; port 0 takes any free one")
    return host.strip("[]"), int(port)


def join_listen_address(host: str, port: int) -> str:
    """Returns `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Returns whether what is sent to this host cannot leave the machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ListeningSettings(Protocol):
    """Where a service listens, and how what is sent to it travels."""

    listen_addr: str
    insecure: bool
    tls_cert_file: Path | None
    tls_key_file: Path | None

    def variable_of(self, field: str) -> str:
        """Returns the name of the environment variable that sets a field."""
        ...


def listening_faults(settings: ListeningSettings) -> Iterator[tuple[str, str]]:
    """Yields what does not go together in these settings: the field, and what is wrong."""
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    if (certificate is None) != (key is None):
        yield "tls_cert_file", f"needs {settings.variable_of('tls_key_file')}, and the other way round"
    elif certificate is not None and key is not None and (problem := certificate_problem(certificate, key)):
        yield "tls_cert_file", problem
    # SECURITY: what a service is sent travels between machines in plain text only where an operator said so.
    if certificate is None and not settings.insecure and not is_loopback(split_listen_address(settings.listen_addr)[0]):
        insecure = settings.variable_of("insecure")
        yield "listen_addr", f"plain text only on loopback; set TLS files, or {insecure}=true behind a proxy"


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
"""A setting that names the proxies that are believed, see `split_list`."""
