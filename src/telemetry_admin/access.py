"""Access control of the page: the token, browser sessions, and tokens against cross-site forms (CSRF)."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from telemetry.event import Clock, now_utc

_PURPOSE: Final = b"telemetry admin sessions"


class Access:
    """Checks the token, and signs sessions and forms. Stateless, so any number of processes accept the same session.

    Args:
        token: Grants access; with None every client that can connect has access.
        secret: Signs sessions and forms if there is no token to derive a key from. Processes that serve the
            page together need the same secret; by default each process generates one.
        session: How long a session is valid.
        clock: Returns the current time.
        nonce: Returns the random part of a session.
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        secret: bytes | None = None,
        session: timedelta = timedelta(hours=12),
        clock: Clock = now_utc,
        nonce: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._token = None if token is None else token.encode()
        # SECURITY: the key is derived from the token, so changing the token ends every session.
        source = self._token if self._token is not None else secret or secrets.token_bytes(32)
        self._key = hmac.digest(source, _PURPOSE, hashlib.sha256)
        self.session = session
        self._clock = clock
        self._nonce = nonce

    @property
    def needs_token(self) -> bool:
        """Whether access requires a token."""
        return self._token is not None

    def token_is_valid(self, given: str) -> bool:
        """Return whether a given token is valid."""
        # SECURITY: digests of equal length are compared in constant time, so that neither length nor prefix leaks.
        ours, theirs = (hmac.digest(self._key, text, hashlib.sha256) for text in (self._token or b"", _bytes(given)))
        return hmac.compare_digest(ours, theirs) and self._token is not None

    def new_session(self) -> str:
        """Return the cookie value of a new session."""
        expires = int((self._clock() + self.session).timestamp())
        claim = f"{expires}.{self._nonce()}"
        return f"{claim}.{self._sign('session', claim)}"

    def session_is_valid(self, cookie: str) -> bool:
        """Return whether the cookie holds a session that this page signed and that has not expired."""
        claim, _, signature = cookie.rpartition(".")
        # SECURITY: check the signature first; unsigned text is not even parsed.
        if not hmac.compare_digest(_bytes(signature), self._sign("session", claim).encode()):
            return False
        expires = datetime.fromtimestamp(int(claim.partition(".")[0]), tz=self._clock().tzinfo)
        return self._clock() < expires

    def form_token(self, cookie: str) -> str:
        """Return the token that a form of this session must contain."""
        return self._sign("form", cookie)

    def form_token_is_valid(self, cookie: str, given: str) -> bool:
        """Return whether a form's token belongs to this session."""
        # SECURITY: another site can make a browser post here, but cannot read the form's token (CSRF).
        return hmac.compare_digest(self.form_token(cookie).encode(), _bytes(given))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, _bytes(f"{purpose}:{text}"), hashlib.sha256).hexdigest()


def _bytes(given: str) -> bytes:
    """Encode text from outside; unlike plain UTF-8 this accepts lone surrogates."""
    return given.encode("utf-8", "surrogatepass")
