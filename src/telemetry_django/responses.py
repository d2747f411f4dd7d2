"""Stream and close a response in the context of its request."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from django.http.response import HttpResponseBase

from telemetry.context import ContextSource, context_source


def in_context(response: Any, source: ContextSource) -> HttpResponseBase:
    """Return the response, changed so that streaming and closing it also run in the context of the request.

    Does not copy the `contextvars` context, as the WSGI middleware does: a language or time zone that an inner layer
    activates must stay visible to outer layers.
    """
    # A file response records nothing, and the server could not send a wrapped one with sendfile.
    if response.streaming and getattr(response, "file_to_stream", None) is None:
        parts = response.streaming_content
        response.streaming_content = _stream_async(parts, source) if response.is_async else _Parts(parts, source)
    close = response.close

    def close_in_context() -> None:
        with context_source(source):
            close()

    response.close = close_in_context
    return cast("HttpResponseBase", response)


class _Parts:
    """The parts of a streamed response, each generated in the context of the request."""

    def __init__(self, parts: Iterator[bytes], source: ContextSource) -> None:
        self._parts = parts
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with context_source(self._source):
            return next(self._parts)


async def _stream_async(parts: AsyncIterator[bytes], source: ContextSource) -> AsyncIterator[bytes]:
    # The `with` is inside the loop, because the server runs between the parts and has its own context.
    while True:
        with context_source(source):
            try:
                part = await anext(parts)
            except StopAsyncIteration:
                return
        yield part
