"""The rule for bearer tokens."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def check_token(token: str) -> str:
    """Returns the token, if it can stand in a header (RFC 6750, 2.1).

    Raises:
        ValueError: It cannot; the text does not quote it.
    """
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("must be a bearer token: ASCII letters, digits and -._~+/ only, no spaces or line ends")
    return token
