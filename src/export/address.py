"""The gateway's address: host, port, and whether it uses TLS."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from telemetry_runtime.loopback import is_loopback

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """The address that a gateway listens on.

    Attributes:
        host: A host name or an IP address.
        port: The port.
        secure: Whether it uses TLS.
    """

    host: str
    port: int
    secure: bool

    @property
    def target(self) -> str:
        """The address in the form that gRPC accepts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the address is on this machine, so that traffic to it does not leave it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.target}"


def parse_gateway_address(text: str) -> GatewayAddress:
    """Parse `https://host:port` or `http://host:port`.

    Raises:
        ValueError: The text is neither.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError("must be https://host:port; the port must be a number up to 65535") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be https://host:port, or http://host:port for plain text")
    if parts.username or parts.password or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must contain only scheme, host and port; set credentials in their own settings")
    if port == 0:
        raise ValueError("must not use port 0, which no server can listen on")
    return GatewayAddress(parts.hostname, port or _DEFAULT_PORTS[parts.scheme], secure=parts.scheme == "https")
