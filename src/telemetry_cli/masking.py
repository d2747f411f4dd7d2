"""Settings as they may be shown: secrets never."""

import re
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from telemetry_runtime.settings import format_duration

MASK: Final = "***"

_SECRET_ARGUMENT: Final = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)
_CREDENTIALS: Final = re.compile(r"://.*@", re.DOTALL)


def masked_url(text: str) -> str:
    """Returns a URL without its password and without what its query calls a password, a secret, a token or a key."""
    try:
        url = make_url(text)
        shown = url.render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        url, shown = None, text
    # SECURITY: masked up to the last @, wherever the password may end: what cannot be read as a URL, and what can be
    # read in more than one way, because an @ in the password was not encoded.
    if url is None or (url.password is not None and text.count("@") > 1):
        shown = _CREDENTIALS.sub(f"://{MASK}@", text)
    return _SECRET_ARGUMENT.sub(rf"\1{MASK}", shown)


def shown(value: Any) -> str | None:
    """Returns a setting's value for people; None where it is not set."""
    if value is None or value == "":
        return None
    # SECURITY: the type of a setting says that it is a secret.
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value.value if isinstance(value, Enum) else value)
    return masked_url(text) if "://" in text else text
