"""Addresses that services listen at, as operators write them: `host:port`.

`ListenAddress` and `ProxyAddresses` are for settings; import this only where a process starts.
"""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator

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
