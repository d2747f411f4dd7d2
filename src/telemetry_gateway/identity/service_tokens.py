"""The built-in tokens of managed services, in a file: `my-service = "token"`."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from telemetry_gateway.errors import InvalidServiceTokensError
from telemetry_gateway.identity.auth import StaticTokens
from telemetry_runtime.watched_files import WatchedFiles


def read_service_tokens(path: Path) -> Mapping[str, str]:
    """Return the tokens of a file, by service id.

    Raises:
        InvalidServiceTokensError: It cannot be read, or breaks its format.
    """
    try:
        tokens = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # the last for lists in lists in lists
        tokens = None
    if tokens is not None and all(isinstance(token, str) and token for token in tokens.values()):
        return tokens
    # SECURITY: the file holds secrets, and a parser's error may repeat them; raised apart from it.
    raise InvalidServiceTokensError(str(path), 'must be TOML with a line for each service: my-service = "token"')


class ServiceTokensFile:
    """Tells managed services by the tokens of a file, as it is when they are shown.

    Args:
        path: The file. Once it is changed, new tokens pass and those taken out do not, without a restart.

    Raises:
        InvalidServiceTokensError: It cannot be read, or breaks its format.
    """

    def __init__(self, path: Path) -> None:
        self._tokens = WatchedFiles([path], lambda: StaticTokens(read_service_tokens(path)))

    async def authenticate(self, token: str, service_id: str) -> None:
        """Return when the token is this service's: see `Authenticator`."""
        await self._tokens.content().authenticate(token, service_id)
