"""The built-in authentication hook: tokens of a TOML file, which contains only their hashes.

[[token]]
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
user_id = 42
site_admin = true
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from telemetry.reviewed_file import ReviewedTable, read_tables
from telemetry_ingest.auth import Caller
from telemetry_ingest.errors import InvalidCredentialsError, InvalidTokensError
from telemetry_runtime.watched_files import WatchedFiles

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

_FIELDS: Final = frozenset({"sha256", "user_id", "site_admin", "note"})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_INT64: Final = range(-(2**63), 2**63)
_TOKEN_BYTES: Final = 32


def new_token() -> str:
    """Generate a random token."""
    return f"tlm_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def token_hash(token: str) -> str:
    """Return the hash of a token, as in the tokens file.

    An unsalted fast hash suffices: tokens are long and random, so guessing them from a list is infeasible.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def tokens_entry(token: str, *, user_id: int | None, site_admin: bool, note: str) -> str:
    """Return a token's entry for the tokens file, as TOML."""
    lines = ["", "[[token]]", f'sha256 = "{token_hash(token)}"']
    if user_id is not None:
        lines.append(f"user_id = {user_id}")
    if site_admin:
        lines.append("site_admin = true")
    if note:
        lines.append(f"note = {json.dumps(note)}")  # JSON strings are valid TOML strings
    return "\n".join([*lines, ""])


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token of the file.

    Attributes:
        sha256: Its hash, in hex.
        caller: The caller that the token authenticates.
    """

    sha256: str
    caller: Caller


def parse_tokens(text: str, origin: str) -> list[KnownToken]:
    """Read a tokens file.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.

    Raises:
        InvalidTokensError: The text is invalid; names the line without quoting it.
    """
    found: dict[str, KnownToken] = {}
    for table in read_tables(text, origin, "token", InvalidTokensError):
        known = _known_token(table)
        if known.sha256 in found:
            raise table.fault("sha256", "duplicates another token of the file")
        found[known.sha256] = known
    return list(found.values())


def read_tokens(path: Path) -> list[KnownToken]:
    """Read a tokens file.

    Raises:
        InvalidTokensError: The file cannot be read, or is invalid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = str(error.strerror) if isinstance(error, OSError) else "is not UTF-8"
    else:
        return parse_tokens(text, str(path))
    raise InvalidTokensError(str(path), f"cannot be read: {problem}")


def _known_token(table: ReviewedTable) -> KnownToken:
    table.check_fields(_FIELDS, ("sha256",))
    sha256, user_id, site_admin = (table.fields.get(name) for name in ("sha256", "user_id", "site_admin"))
    if not isinstance(sha256, str) or _SHA256.fullmatch(sha256) is None:
        raise table.fault("sha256", "must be the token's SHA-256 in 64 lower-case hex digits, never the token itself")
    if user_id is not None and (isinstance(user_id, bool) or not isinstance(user_id, int) or user_id not in _INT64):
        raise table.fault("user_id", "must be a 64-bit integer")
    if site_admin is not None and not isinstance(site_admin, bool):
        raise table.fault("site_admin", "must be true or false")
    return KnownToken(sha256, Caller(user_id=user_id, site_admin=bool(site_admin)))


class TokensAuthenticator:
    """Authenticates callers by a list of tokens.

    Args:
        tokens: The tokens of the file.
    """

    def __init__(self, tokens: Sequence[KnownToken]) -> None:
        self._tokens = tuple(tokens)

    async def authenticate(self, token: str | None, request: "HTTPConnection") -> Caller | None:  # noqa: ARG002
        """Return the caller of a token: see `CallerAuthenticator`."""
        if token is None:
            return None
        given, caller = token_hash(token), None
        for known in self._tokens:
            # SECURITY: constant-time comparison with every token, so that the duration reveals nothing about them.
            if hmac.compare_digest(known.sha256, given):
                caller = known.caller
        if caller is None:
            raise InvalidCredentialsError("invalid token")
        return caller


class TokensFile:
    """Authenticates callers by the current content of a tokens file.

    Args:
        path: The file. Changes take effect without a restart: new tokens are accepted, removed ones rejected.

    Raises:
        InvalidTokensError: The file cannot be read, or is invalid.
    """

    def __init__(self, path: Path) -> None:
        self._tokens = WatchedFiles([path], lambda: TokensAuthenticator(read_tokens(path)))

    async def authenticate(self, token: str | None, request: "HTTPConnection") -> Caller | None:
        """Return the caller of a token: see `CallerAuthenticator`."""
        return await self._tokens.content().authenticate(token, request)
