"""Answer invalid HTTP with an empty body, and not before the request ahead of it is answered.

Shell scripts print the body of a response, so error responses have none.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


def forgiving_protocol(protocol: type[asyncio.Protocol] = AutoHTTPProtocol) -> type[asyncio.Protocol]:
    """Return a subclass of a uvicorn protocol that handles invalid HTTP differently.

    A client that sets Content-Length to the number of characters instead of bytes leaves the end of its body behind its
    request. For the server that request is complete, so it is answered before the connection is closed. Other invalid
    HTTP is answered with status 400 and an empty body.
    """
    send_400: Any = vars(protocol)["send_400_response"]

    def send_400_response(self: Any, _message: str) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            cycle.keep_alive = False  # close the connection after the response
        else:
            send_400(self, "")

    return type("ForgivingProtocol", (protocol,), {"send_400_response": send_400_response})
