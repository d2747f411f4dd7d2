"""A small ASGI application, served in the same way as by the commands: `python app_to_serve.py ADDRESS MODE`."""

import asyncio
import sys
from datetime import timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from telemetry import TelemetryError
from telemetry_cli.log_lines import log_to_stderr
from telemetry_cli.output import print_error
from telemetry_cli.serving import Serving, serve_app


async def slow(_request: Request) -> PlainTextResponse:
    sys.stderr.write("busy\n")
    await asyncio.sleep(1)
    return PlainTextResponse("done")


async def broken(_request: Request) -> PlainTextResponse:
    raise RuntimeError("CANARY of a client")


async def address(request: Request) -> PlainTextResponse:
    assert request.client is not None
    return PlainTextResponse(request.client.host)


class FailingLifespan:
    async def __aenter__(self) -> None:
        raise RuntimeError("CANARY at the start")

    async def __aexit__(self, *_: object) -> None: ...


def main() -> int:
    log_to_stderr()
    listen_addr, mode = sys.argv[1:]
    routes = [Route("/slow", slow), Route("/broken", broken), Route("/address", address)]
    lifespan = (lambda _app: FailingLifespan()) if mode == "fails" else None
    proxies = ("127.0.0.1",) if mode == "proxied" else ()
    head_timeout = timedelta(seconds=0.5 if mode == "hasty" else 30)
    try:
        serve_app(
            Starlette(routes=routes, lifespan=lifespan),
            listen_addr,
            Serving(drain_timeout=timedelta(seconds=20), head_timeout=head_timeout, trusted_proxies=proxies),
        )
    except TelemetryError as error:
        print_error(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
