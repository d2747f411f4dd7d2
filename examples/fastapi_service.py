"""A search on FastAPI: `AsyncRecorder`, the signed-in user, and a streamed response.

export TELEMETRY_DATABASE_URL=sqlite:///search.db
telemetry db upgrade
uvicorn --app-dir examples fastapi_service:app
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from recorder import AsyncRecorder, Recorder
from telemetry import EventParameters
from telemetry.web import RequestHeaders
from telemetry.web.asgi import TelemetryContextMiddleware

USERS = {"token-of-ada": 7, "token-of-ben": 8}  # replace with your authentication
BOOKS = ("Ada's Algorithm", "A Pattern Language", "The Art of Computer Programming")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Create the recorder, once per worker process."""
    app.state.recorder = AsyncRecorder(Recorder.from_url(service_version="1.4.0"))
    yield
    await app.state.recorder.close()


def recorder_of(request: Request) -> AsyncRecorder:
    """Return the process's recorder."""
    recorder: AsyncRecorder = request.app.state.recorder
    return recorder


async def signed_in(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
) -> None:
    """Authenticate the user, and store the result in the request's state for `identify`."""
    if credentials is None:
        return  # searching does not require a sign-in
    if credentials.credentials not in USERS:
        raise HTTPException(401)
    request.state.user_id = USERS[credentials.credentials]


def identify(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the user of an event; called when an event is recorded."""
    user_id = scope.get("state", {}).get("user_id")
    return {"user_id": user_id, "feature_flags": {"new-ranking": user_id == USERS["token-of-ada"]}}


app = FastAPI(lifespan=lifespan, dependencies=[Depends(signed_in)])
app.add_middleware(
    TelemetryContextMiddleware,
    headers=RequestHeaders(client="X-Client", country="X-Country"),  # X-Country is set by a trusted proxy
    identify=identify,
)


@app.get("/search")
async def search(q: str, recorder: Annotated[AsyncRecorder, Depends(recorder_of)]) -> list[str]:
    """Search. The query is private, the number of results is not."""
    found = [book for book in BOOKS if q.lower() in book.lower()]
    await recorder.record(
        "search.results",
        "submit",
        EventParameters(metadata={"results": len(found)}, private_metadata={"query": q}),
    )
    return found


@app.get("/books")
async def books(recorder: Annotated[AsyncRecorder, Depends(recorder_of)]) -> StreamingResponse:
    """Stream all books, then record how many were read."""

    async def lines() -> AsyncIterator[str]:
        for book in BOOKS:
            yield json.dumps(book) + "\n"
        await recorder.record("search.download", "finished", EventParameters(metadata={"books": len(BOOKS)}))

    return StreamingResponse(lines(), media_type="application/jsonl")
