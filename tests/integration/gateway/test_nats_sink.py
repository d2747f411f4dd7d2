"""The sink `nats`, against the real server."""

import asyncio
import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import nats
import pytest
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from support.gateway_client import LICENSED, event, send
from support.gateway_server import running_gateway
from telemetry_gateway import Message, SinkError, SinkRefusedError
from telemetry_gateway.sinks.jetstream import JetStreamSink, JetStreamTarget, headers_of

URL = os.environ.get("TELEMETRY_TEST_NATS_URL", "nats://127.0.0.1:4222")

Work = Callable[[JetStreamContext], Coroutine[Any, Any, Any]]


def _is_reachable() -> bool:
    host, _, port = URL.removeprefix("nats://").partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _is_reachable(), reason=f"no NATS server at {URL}")


def _do(work: Work) -> Any:
    async def connected() -> Any:
        client = await nats.connect(URL)
        try:
            return await work(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(connected())


class Stream:
    """A stream for one test, which may not exist yet."""

    def __init__(self) -> None:
        self.name = f"telemetry-test-{uuid.uuid4().hex}"
        self.subject = f"{self.name}.events"

    def target(self, **changes: Any) -> JetStreamTarget:
        return JetStreamTarget(**({"servers": [URL], "stream": self.name, "subject": self.subject} | changes))

    def settings(self) -> dict[str, Any]:
        return {"sink": "nats", "nats_url": URL, "nats_stream": self.name, "nats_subject": self.subject}

    def make(self, **config: Any) -> None:
        good: dict[str, Any] = {"name": self.name, "subjects": [self.subject], "storage": api.StorageType.FILE}
        _do(lambda jetstream: jetstream.add_stream(**(good | config)))

    def messages(self) -> list[Any]:
        async def read(jetstream: JetStreamContext) -> list[Any]:
            state = (await jetstream.stream_info(self.name)).state
            return [await jetstream.get_msg(self.name, seq) for seq in range(1, state.last_seq + 1)]

        messages: list[Any] = _do(read)
        return messages

    def config(self) -> api.StreamConfig:
        async def read(jetstream: JetStreamContext) -> api.StreamConfig:
            return (await jetstream.stream_info(self.name)).config

        config: api.StreamConfig = _do(read)
        return config

    def delete(self) -> None:
        async def delete(jetstream: JetStreamContext) -> None:
            await jetstream.delete_stream(self.name)

        _do(delete)


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    yield made
    with contextlib.suppress(NotFoundError):  # the test created no stream, or deleted it
        made.delete()


def test_events_are_published_once_with_their_attributes_as_headers(tmp_path: Path, stream: Stream) -> None:
    sent = event()
    sent.parameters.metadata["recordsPrivateMetadataFoo"] = 1

    with running_gateway(tmp_path, **stream.settings()) as gateway, gateway.channel() as channel:
        assert send(channel, [sent, sent], LICENSED).succeeded == [sent.id]
        assert send(channel, [sent], LICENSED).succeeded == [sent.id]

    (message,) = stream.messages()
    assert message.subject == stream.subject
    assert json.loads(message.data)["event"]["id"] == sent.id
    assert message.headers.pop("Nats-Msg-Id").startswith(f"{sent.id}.")
    message.headers.pop("Nats-Expected-Stream")
    assert message.headers == {
        "publisher.source": "licensed_instance",
        "event.feature": "search.results",
        "event.action": "view",
        "event.hasPrivateMetadata": "false",
        "event.recordsPrivateMetadataFoo": "true",
    }


def test_the_stream_recognizes_duplicates_that_the_window_has_lost(tmp_path: Path, stream: Stream) -> None:
    sent = event()
    for directory in (tmp_path / "one", tmp_path / "two"):  # two replicas, each with its own window
        directory.mkdir()
        with running_gateway(directory, **stream.settings()) as gateway, gateway.channel() as channel:
            assert send(channel, [sent], LICENSED).succeeded == [sent.id]
            assert send(channel, [sent]).succeeded == [sent.id]

    assert len(stream.messages()) == 2  # the same id of two publishers


def test_a_missing_stream_is_created_and_loses_nothing(stream: Stream) -> None:
    JetStreamSink(stream.target(duplicate_window=timedelta(hours=2))).close()

    config = stream.config()
    assert config.storage == api.StorageType.FILE
    assert config.retention == api.RetentionPolicy.LIMITS
    assert config.discard == api.DiscardPolicy.NEW
    assert config.duplicate_window == 7200
    assert config.subjects == [stream.subject]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"storage": api.StorageType.MEMORY}, "it is stored in memory"),
        ({"retention": api.RetentionPolicy.INTEREST}, "retention by interest"),
        ({"max_msgs": 10}, "it discards old messages"),
        ({"max_bytes": 10_000}, "it discards old messages"),
        ({"max_msgs_per_subject": 10, "discard": api.DiscardPolicy.NEW}, "max_msgs_per_subject discards old"),
        ({"max_age": 3600}, "max_age is 1:00:00, shorter than 1 day"),
        ({"no_ack": True}, "no_ack is set"),
        ({"subjects": ["telemetry-other.>"]}, "its subjects do not include"),
    ],
)
def test_a_stream_that_would_lose_acknowledged_events_is_rejected(
    stream: Stream, config: dict[str, Any], reason: str
) -> None:
    stream.make(**config)

    with pytest.raises(SinkRefusedError, match=reason):
        JetStreamSink(stream.target())


@pytest.mark.parametrize(
    "config",
    [
        {"max_msgs": 10, "discard": api.DiscardPolicy.NEW},
        {"retention": api.RetentionPolicy.WORK_QUEUE},
        {"max_age": 7 * 86_400},
    ],
)
def test_streams_that_do_not_lose_acknowledged_events_are_accepted(stream: Stream, config: dict[str, Any]) -> None:
    stream.make(**config)

    JetStreamSink(stream.target()).close()


def test_a_full_stream_acknowledges_nothing(tmp_path: Path, stream: Stream) -> None:
    stream.make(max_msgs=1, discard=api.DiscardPolicy.NEW)
    first, second = event(), event()

    with running_gateway(tmp_path, **stream.settings()) as gateway, gateway.channel() as channel:
        assert send(channel, [first]).succeeded == [first.id]
        full = send(channel, [second])

    assert (full.code, full.succeeded) == (grpc.StatusCode.UNAVAILABLE, [])


def test_a_stream_that_was_replaced_is_not_written_to(tmp_path: Path, stream: Stream) -> None:
    with running_gateway(tmp_path, **stream.settings()) as gateway, gateway.channel() as channel:
        stream.delete()
        assert send(channel, [event()]).code is grpc.StatusCode.UNAVAILABLE
        other = Stream()
        other.subject = stream.subject
        other.make(storage=api.StorageType.MEMORY)
        assert send(channel, [event()]).code is grpc.StatusCode.UNAVAILABLE
        assert other.messages() == []
        other.delete()


def test_the_largest_message_is_that_of_the_stream(tmp_path: Path, stream: Stream) -> None:
    stream.make(max_msg_size=40_000)
    large = event()
    large.parameters.private_metadata["text"] = "x" * 20_000

    with running_gateway(tmp_path, **stream.settings()) as gateway, gateway.channel() as channel:
        answer = send(channel, [large])

    assert "more than the sink's limit of 7232" in answer.rejected[large.id]


def test_no_server_at_the_start(stream: Stream) -> None:
    with pytest.raises(SinkError, match="NATS: "):
        JetStreamSink(stream.target(servers=["nats://127.0.0.1:1"], timeout=timedelta(milliseconds=300)))


def test_a_lost_connection(stream: Stream) -> None:
    sink = JetStreamSink(stream.target())
    asyncio.run_coroutine_threadsafe(sink._client.close(), sink._loop).result(5)

    with pytest.raises(SinkError, match="cannot be reached"):
        sink.publish([Message("p", "id", {}, b"{}")])

    assert (list(sink.published_since("", 0)), sink.position) == ([], "")
    sink.close()


def test_text_of_clients_cannot_forge_headers() -> None:
    attributes = {"event.recordsPrivateMetadata\r\nNats-Rollup: all": "true", "publisher.source": "a\r\nb é"}

    headers = headers_of(Message("p", "id/1", attributes, b"{}"))

    assert set(headers) == {
        "event.recordsPrivateMetadata%0D%0ANats-Rollup%3A%20all",
        "publisher.source",
        "Nats-Msg-Id",
    }
    assert headers["publisher.source"] == "a%0D%0Ab %C3%A9"
    assert headers["Nats-Msg-Id"].startswith("id%2F1.")
