"""Read the tokens of managed services from a TOML file: `my-service = "token"`."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from telemetry_gateway.errors import InvalidServiceTokensError
from telemetry_gateway.identity.auth import StaticTokens
from telemetry_runtime.watched_files import WatchedFiles


def read_service_tokens(path: Path) -> Mapping[str, str]:
    """Return the tokens in a file, by service id.

    Raises:
        InvalidServiceTokensError: The file cannot be read, or is not valid.
    """
    try:
        tokens = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # RecursionError: deeply nested lists
        tokens = None
    if tokens is not None and all(isinstance(token, str) and token for token in tokens.values()):
        return tokens
    # SECURITY: the file holds secrets, which a parser's error may quote; so this is not chained to that error.
    raise InvalidServiceTokensError(str(path), 'must be TOML with a line for each service: my-service = "token"')


class ServiceTokensFile:
    """Authenticates managed services by the tokens in a file, which is read again when it changes.

    Args:
        path: The file. Added tokens become valid, and removed ones invalid, without a restart.

    Raises:
        InvalidServiceTokensError: The file cannot be read, or is not valid.
    """

    def __init__(self, path: Path) -> None:
        self._tokens = WatchedFiles([path], lambda: StaticTokens(read_service_tokens(path)))

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return if this is the token of the service, see `Authenticator`."""
        await self._tokens.content().authenticate(token, service_id)
