"""Reads request bodies, limited in size and time."""

import asyncio
from datetime import timedelta

from starlette.requests import ClientDisconnect

from telemetry.web.asgi import Receive
from telemetry_ingest.errors import BodyTooLargeError, BodyTooSlowError


async def read_body(receive: Receive, *, max_bytes: int, within: timedelta) -> bytes:
    """Read the whole body of a request.

    Args:
        receive: The ASGI receive function of the request.
        max_bytes: The largest body that is accepted.
        within: Timeout for the whole body.

    Raises:
        BodyTooLargeError: The body is larger than that.
        BodyTooSlowError: The body was not complete in time.
        ClientDisconnect: The client disconnected before the end.
    """
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await _read(receive, max_bytes)
    except TimeoutError:
        seconds = within.total_seconds()
    raise BodyTooSlowError(f"the body was not complete within {seconds:g} s")


async def _read(receive: Receive, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
        if not message.get("more_body", False):
            return bytes(body)
