"""How uvicorn's own refusals look: without a word, and not in place of a request before them.

Clients that are shell scripts print what they are answered, so no body tells them of our troubles.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


def forgiving_protocol(protocol: type[asyncio.Protocol] = AutoHTTPProtocol) -> type[asyncio.Protocol]:
    """Returns one of uvicorn's protocols, changed in what it does about garbage.

    A client that counts characters where HTTP counts bytes leaves the end of its body behind its request. That request
    is whole for the server, and is answered before the connection is closed. Whatever else is no HTTP is answered 400,
    without a body.
    """
    refuse: Any = vars(protocol)["send_400_response"]

    def send_400_response(self: Any, _message: str) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            cycle.keep_alive = False  # closed once it is answered
        else:
            refuse(self, "")

    return type("ForgivingProtocol", (protocol,), {"send_400_response": send_400_response})
