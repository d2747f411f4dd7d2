"""Hosts that are this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether what is sent to this host cannot leave the machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
