"""Who may see the page: a token, the session that a browser gets for it, and proof that a form is ours."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from telemetry.event import Clock, now_utc

_PURPOSE: Final = b"telemetry admin sessions"


class Access:
    """Knows the token, and signs what browsers are given. Keeps no state, so any number of processes agree.

    Args:
        token: Lets its bearer in; None: everybody who reaches the page is in.
        secret: Signs sessions and forms where there is no token to derive a key from. Processes that serve the
            page together need the same; by default each makes its own.
        session: How long a session holds.
        clock: Tells the time.
        nonce: Makes a session's random part.
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
        # SECURITY: another token is another key: changing it ends every session.
        source = self._token if self._token is not None else secret or secrets.token_bytes(32)
        self._key = hmac.digest(source, _PURPOSE, hashlib.sha256)
        self.session = session
        self._clock = clock
        self._nonce = nonce

    @property
    def needs_token(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def token_is_right(self, given: str) -> bool:
        """Returns whether this is the token."""
        # SECURITY: digests of one length, compared in constant time: neither length nor prefix shows.
        ours, theirs = (hmac.digest(self._key, text, hashlib.sha256) for text in (self._token or b"", _bytes(given)))
        return hmac.compare_digest(ours, theirs) and self._token is not None

    def new_session(self) -> str:
        """Returns the value of a session's cookie."""
        expires = int((self._clock() + self.session).timestamp())
        claim = f"{expires}.{self._nonce()}"
        return f"{claim}.{self._sign('session', claim)}"

    def session_holds(self, cookie: str) -> bool:
        """Returns whether this is a session of ours that has not expired."""
        claim, _, signature = cookie.rpartition(".")
        # SECURITY: the signature first; what it does not cover is not even parsed.
        if not hmac.compare_digest(_bytes(signature), self._sign("session", claim).encode()):
            return False
        expires = datetime.fromtimestamp(int(claim.partition(".")[0]), tz=self._clock().tzinfo)
        return self._clock() < expires

    def form_token(self, cookie: str) -> str:
        """Returns what a form of this session must hold."""
        return self._sign("form", cookie)

    def form_token_is_right(self, cookie: str, given: str) -> bool:
        """Returns whether a form is one that this session was given."""
        # SECURITY: another site can make a browser post here, but cannot read what the form must hold.
        return hmac.compare_digest(self.form_token(cookie).encode(), _bytes(given))

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, _bytes(f"{purpose}:{text}"), hashlib.sha256).hexdigest()


def _bytes(given: str) -> bytes:
    """Returns what is compared of a text from outside, whatever stands in it."""
    return given.encode("utf-8", "surrogatepass")
