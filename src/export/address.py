"""The gateway's address, and whether it may be spoken to in plain text."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from telemetry_runtime.loopback import is_loopback

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where a gateway listens.

    Attributes:
        host: A name or an address.
        port: The port.
        secure: Whether it speaks TLS.
    """

    host: str
    port: int
    secure: bool

    @property
    def target(self) -> str:
        """The address as gRPC takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there cannot leave this machine."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.target}"


def parse_gateway_address(text: str) -> GatewayAddress:
    """Reads `https://host:port` or `http://host:port`.

    Raises:
        ValueError: It is neither.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError("must be https://host:port; the port is a number up to 65535") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be https://host:port, or http://host:port for plain text")
    if parts.username or parts.password or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must hold nothing but scheme, host and port; credentials have settings of their own")
    if port == 0:
        raise ValueError("names port 0, which nothing can listen on")
    return GatewayAddress(parts.hostname, port or _DEFAULT_PORTS[parts.scheme], secure=parts.scheme == "https")
