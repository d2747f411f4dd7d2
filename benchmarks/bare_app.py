"""Responds to every request with 204, served like our commands: the floor of the ping endpoint."""

from telemetry.web.asgi import Receive, Scope, Send
from telemetry_cli.output import log_to_stderr
from telemetry_cli.serving import serve_app


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    log_to_stderr()
    serve_app(bare, "127.0.0.1:0")
