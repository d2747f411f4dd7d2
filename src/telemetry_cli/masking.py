"""The values of settings for output, with secrets masked."""

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
    """Return a URL without its password, and without passwords, secrets, tokens and keys in its query."""
    try:
        url = make_url(text)
        shown = url.render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        url, shown = None, text
    # SECURITY: masked up to the last @, because the end of the password is unknown: the text is not a valid URL, or is
    # ambiguous because an @ in the password is not encoded.
    if url is None or (url.password is not None and text.count("@") > 1):
        shown = _CREDENTIALS.sub(f"://{MASK}@", text)
    return _SECRET_ARGUMENT.sub(rf"\1{MASK}", shown)


def shown(value: Any) -> str | None:
    """Return the value of a setting as text; None if it is not set."""
    if value is None or value == "":
        return None
    # SECURITY: secrets are recognized by the type of the setting.
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value.value if isinstance(value, Enum) else value)
    return masked_url(text) if "://" in text else text
