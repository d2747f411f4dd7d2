"""Reads what a form sent, once it is known to be one of ours."""

import asyncio
from typing import Final
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from telemetry_admin.access import Access

FORM_TOKEN: Final = "form_token"  # noqa: S105 - a field's name
_MAX_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 1000
_MAX_SECONDS: Final = 10.0


async def read_form(
    request: Request, access: Access, *, has_token: bool = True, within: float = _MAX_SECONDS
) -> dict[str, list[str]]:
    """Returns the values of a form's fields.

    Args:
        request: What holds the form.
        access: Knows what the form's token must be.
        has_token: Whether it must hold one: all forms do, but for those that a browser without a session is shown.
        within: How many seconds it may take to come.

    Raises:
        HTTPException: The form is too large or too slow, cannot be read, or is none that this session was given.
    """
    body = await _read(request, within)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:  # UnicodeDecodeError is one
        fields = None
    if fields is None:
        raise HTTPException(400, "The form cannot be read.")
    given = fields.get(FORM_TOKEN, [""])[0]
    # SECURITY: a script that shows the bearer token with each request cannot be somebody else's browser.
    if has_token and not request.state.by_bearer and not access.form_token_is_right(request.state.session, given):
        raise HTTPException(403, "The form is out of date, or not from this page. Load the page again, then repeat.")
    return fields


async def _read(request: Request, within: float) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(within):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise HTTPException(413, "The form is too large.")
    except TimeoutError:
        fault = HTTPException(408, "The form did not come in time.")
    except ClientDisconnect:
        fault = HTTPException(400, "The form did not come to its end.")
    else:
        return body
    raise fault
