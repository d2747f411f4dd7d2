"""The later parts and the end of a response, in the request's context."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from django.http.response import HttpResponseBase

from telemetry.context import ContextSource, context_source


def in_context(response: Any, source: ContextSource) -> HttpResponseBase:
    """Returns the response, whose later parts and whose end are in the request's context, too.

    Not by a copied `contextvars` context, as in WSGI: languages and time zones that inner layers activate must
    stay visible to the outer ones.
    """
    # A file records nothing, and wrapped it could not be sent by the server itself.
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
    """The parts of a streamed answer, each made in the request's context."""

    def __init__(self, parts: Iterator[bytes], source: ContextSource) -> None:
        self._parts = parts
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with context_source(self._source):
            return next(self._parts)


async def _stream_async(parts: AsyncIterator[bytes], source: ContextSource) -> AsyncIterator[bytes]:
    # Not one `with` around it all: between the parts, the context is the server's.
    while True:
        with context_source(source):
            try:
                part = await anext(parts)
            except StopAsyncIteration:
                return
        yield part
