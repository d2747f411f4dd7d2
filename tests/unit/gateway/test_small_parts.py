"""Parts of the gateway that need no server."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from telemetry_gateway import (
    AnyOf,
    DrainingError,
    Message,
    PermissionDeniedError,
    SilentStreamError,
    SinkError,
    StdoutSink,
)
from telemetry_gateway.publishing.patience import Patience


class TestStdout:
    def test_each_message_is_a_line(self) -> None:
        stream = io.BytesIO()
        sink = StdoutSink(1024, stream)

        sink.publish([Message("p", "a", {"k": "v"}, b'{"event":{}}')])

        assert stream.getvalue() == b'{"attributes":{"k":"v"},"message":{"event":{}}}\n'
        assert (list(sink.published_since("", 0)), sink.position) == ([], "")
        sink.close()
        assert not stream.closed

    def test_a_closed_stream_is_reported(self) -> None:
        stream = io.BytesIO()
        stream.close()

        with pytest.raises(SinkError, match=r"standard output cannot be written \(ValueError\)"):
            StdoutSink(1024, stream).publish([Message("p", "a", {}, b"{}")])

    def test_it_writes_to_standard_output(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        StdoutSink(1024).publish([Message("p", "a", {}, b"{}")])

        assert capfdbinary.readouterr().out == b'{"attributes":{},"message":{}}\n'


def test_a_token_is_denied_without_authenticators() -> None:
    with pytest.raises(PermissionDeniedError):
        asyncio.run(AnyOf([]).authenticate("token", "service"))


async def _messages(*pauses: float) -> AsyncIterator[float]:
    for pause in pauses:
        await asyncio.sleep(pause)
        yield pause


class TestPatience:
    def test_it_returns_each_message_and_then_none(self) -> None:
        async def scenario() -> list[float | None]:
            patience, messages = Patience(timedelta(seconds=5)), _messages(0, 0.01)
            return [await patience.next_message(messages) for _ in range(3)]

        assert asyncio.run(scenario()) == [0, 0.01, None]

    def test_a_silent_stream_is_ended(self) -> None:
        async def scenario() -> None:
            await Patience(timedelta(milliseconds=20)).next_message(_messages(5))

        with pytest.raises(SilentStreamError, match=r"no message arrived for 0\.02 s"):
            asyncio.run(scenario())

    def test_a_waiting_stream_ends_within_a_second_while_draining(self) -> None:
        async def scenario() -> float:
            patience = Patience(timedelta(minutes=5))
            waiting = asyncio.create_task(patience.next_message(_messages(60)))
            await asyncio.sleep(0)
            started = asyncio.get_running_loop().time()
            patience.drain()
            with pytest.raises(DrainingError):
                await waiting
            return asyncio.get_running_loop().time() - started

        assert 0.9 < asyncio.run(scenario()) < 3
