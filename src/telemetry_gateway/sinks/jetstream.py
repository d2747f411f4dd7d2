"""The sink `nats`: publishes to NATS JetStream. A message is durable when the stream has acknowledged it."""

import asyncio
import hashlib
import threading
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar
from urllib.parse import quote

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from telemetry.logger import get_logger
from telemetry_gateway.errors import SinkError, SinkRefusedError
from telemetry_gateway.sinks.sink import Message
from telemetry_gateway.sinks.stream_check import problems_of
from telemetry_runtime.certificate_faults import CertificateFault, certificate_fault

T = TypeVar("T")

_AT_ONCE: Final = 256
# The part of a message that is reserved for headers. The size of attributes is limited when messages are created.
_HEADER_ROOM: Final = 32 * 1024
_MESSAGE_ID: Final = api.Header.MSG_ID.value
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JetStreamTarget:
    """The servers and the stream to publish to.

    Attributes:
        servers: URLs, `nats://host:port` or `tls://host:port`.
        stream: The name of the stream; it is created if it does not exist.
        subject: The subject of every message; the stream must include it.
        credentials_file: The user's credentials, or None.
        replicas: The number of replicas of a stream that is created.
        duplicate_window: The duplicate window of a stream that is created.
        min_age: The shortest `max_age` of an accepted stream.
        timeout: The timeout for one acknowledgement.
    """

    servers: Sequence[str]
    stream: str
    subject: str
    credentials_file: str | None = None
    replicas: int = 1
    duplicate_window: timedelta = timedelta(hours=24)
    min_age: timedelta = timedelta(hours=24)
    timeout: timedelta = timedelta(seconds=5)


class JetStreamSink:
    """Publishes each message with a unique id, and its attributes as headers.

    The NATS client runs in a separate thread with its own event loop, because the methods of a sink block.

    Args:
        target: The servers and the stream to publish to.

    Raises:
        SinkError: The server cannot be reached.
        SinkRefusedError: The stream would lose messages after it has acknowledged them.
    """

    def __init__(self, target: JetStreamTarget) -> None:
        self._target = target
        self._timeout = target.timeout.total_seconds()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway-nats", daemon=True)
        self._thread.start()
        self._client = Client()
        try:
            self._jetstream, limit = self._run(self._open())
        except BaseException:
            self.close()
            raise
        self.max_message_bytes = limit - _HEADER_ROOM

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish the messages, and wait until the stream has acknowledged each."""
        if not self._client.is_connected:
            raise SinkError("NATS cannot be reached")
        self._run(self._publish(messages))

    def published_since(self, position: str, not_before: float) -> Iterable[tuple[str, str]]:  # noqa: ARG002 - the protocol's
        """Return an empty sequence: the stream itself recognizes duplicates."""
        return ()

    @property
    def position(self) -> str:
        """Always empty."""
        return ""

    def close(self) -> None:
        """Disconnect."""
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(self._timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except TimeoutError:  # also the base class of nats-py's TimeoutError
            fault = None if self._client.is_connected else _certificate_fault(self._client.last_error)
            problem = "no response in time" if fault is None else f"the server's certificate is rejected: {fault}"
        except (NatsError, OSError) as error:
            # The library's messages name servers and streams, but never quote the content of a message.
            problem = str(error).removeprefix("nats: ") or type(error).__name__
        raise SinkError(f"NATS: {problem}")

    async def _open(self) -> tuple[JetStreamContext, int]:
        target = self._target
        await asyncio.wait_for(
            self._client.connect(
                servers=list(target.servers),
                user_credentials=target.credentials_file,
                name="telemetry-gateway",
                max_reconnect_attempts=-1,  # forever, after the first connection
                reconnect_time_wait=1,
                error_cb=_log_problem,
                disconnected_cb=_log_disconnected,
                reconnected_cb=_log_reconnected,
                # No buffer while disconnected: it would only delay the error.
                pending_size=0,
            ),
            self._timeout,
        )
        jetstream = self._client.jetstream(timeout=self._timeout)
        config = await self._find_or_make(jetstream)
        problems = problems_of(config, target.subject, target.min_age)
        if problems:
            raise SinkRefusedError(f"the stream {target.stream} would lose acknowledged events: {'; '.join(problems)}")
        size = config.max_msg_size or 0
        return jetstream, min(self._client.max_payload, size) if size > 0 else self._client.max_payload

    async def _find_or_make(self, jetstream: JetStreamContext) -> api.StreamConfig:
        target = self._target
        try:
            return (await jetstream.stream_info(target.stream)).config
        except NotFoundError:
            _log.info("stream made", stream=target.stream, subject=target.subject)
        wanted = api.StreamConfig(
            name=target.stream,
            subjects=[target.subject],
            retention=api.RetentionPolicy.LIMITS,
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.NEW,
            num_replicas=target.replicas,
            duplicate_window=target.duplicate_window.total_seconds(),
        )
        return (await jetstream.add_stream(wanted)).config

    async def _publish(self, messages: Sequence[Message]) -> None:
        for start in range(0, len(messages), _AT_ONCE):
            await asyncio.gather(*(self._publish_one(message) for message in messages[start : start + _AT_ONCE]))

    async def _publish_one(self, message: Message) -> None:
        await self._jetstream.publish(
            self._target.subject, message.body, stream=self._target.stream, headers=headers_of(message)
        )


def headers_of(message: Message) -> dict[str, str]:
    """Return the headers of a message: its attributes, percent-encoded, and its id.

    The id is the event id, a dot and a hash of the publisher, so that the stream does not treat events of different
    publishers as duplicates.
    """
    # SECURITY: any client can choose the text of attributes, and a line break in it would forge headers.
    headers = {quote(key, safe=""): quote(value, safe=" /:") for key, value in message.attributes.items()}
    publisher = hashlib.sha256(message.publisher.encode()).hexdigest()[:16]
    return {**headers, _MESSAGE_ID: f"{quote(message.event_id, safe='')}.{publisher}"}


def _certificate_fault(error: Exception | None) -> CertificateFault | None:
    # The client trusts the authorities in OpenSSL's default location.
    return None if error is None else certificate_fault(error, ca_file_setting="the file that SSL_CERT_FILE names")


async def _log_problem(error: Exception) -> None:
    fault = _certificate_fault(error)
    _log.warning("NATS connection failed", problem=type(error).__name__ if fault is None else str(fault))


async def _log_disconnected() -> None:
    _log.warning("NATS disconnected")


async def _log_reconnected() -> None:
    _log.info("NATS reconnected")
