"""The syntax of bearer tokens."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def check_token(token: str) -> str:
    """Return the token if it can be sent in a header (RFC 6750, 2.1).

    Raises:
        ValueError: It cannot; the message does not quote it.
    """
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("must be a bearer token: only ASCII letters, digits and -._~+/, without spaces or line breaks")
    return token
