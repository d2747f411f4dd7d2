"""Liveness and readiness probes."""

import asyncio
from http import HTTPStatus
from typing import Final

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from recorder import RecorderError
from telemetry_store.database import Database

LIVENESS_PATH: Final = "/healthz"
READINESS_PATH: Final = "/readyz"


class Health:
    """The liveness and readiness probes.

    Args:
        database: The database that events are stored in.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self) -> list[Route]:
        """Return the routes of the probes."""
        return [Route(LIVENESS_PATH, self._alive), Route(READINESS_PATH, self._ready)]

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _ready(self, _request: Request) -> Response:
        """Read from the database; this also reports tables of another version."""
        try:
            await asyncio.to_thread(self._database.read, lambda connection: connection.execute(text("SELECT 1")))
        except RecorderError as error:
            return JSONResponse({"ready": False, "problem": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"ready": True})
