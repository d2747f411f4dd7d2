"""Reads the fields of a form, after checking its token against cross-site requests."""

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
    """Return the values of a form's fields.

    Args:
        request: The request that contains the form.
        access: Checks the form's token.
        has_token: Whether the form must contain a token. All forms must, except those shown without a session.
        within: Timeout for reading the form, in seconds.

    Raises:
        HTTPException: The form is too large, too slow or unreadable, or its token is not of this session.
    """
    body = await _read(request, within)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:  # includes UnicodeDecodeError
        fields = None
    if fields is None:
        raise HTTPException(400, "The form cannot be read.")
    given = fields.get(FORM_TOKEN, [""])[0]
    # SECURITY: a bearer token in the request cannot have been added by another site's form (CSRF).
    if has_token and not request.state.by_bearer and not access.form_token_is_valid(request.state.session, given):
        raise HTTPException(403, "The form has expired, or is not from this page. Reload the page and try again.")
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
        raise HTTPException(408, "The form was not received in time.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The form is incomplete: the client disconnected.") from None
    return body
