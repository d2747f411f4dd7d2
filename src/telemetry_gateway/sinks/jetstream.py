"""Publishes to NATS JetStream; a message is durable when the stream has acknowledged it."""

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
# What headers may take of a message: attributes are bounded when messages are made.
_HEADER_ROOM: Final = 32 * 1024
_MESSAGE_ID: Final = api.Header.MSG_ID.value
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JetStreamTarget:
    """Where to publish.

    Attributes:
        servers: URLs, `nats://host:port` or `tls://host:port`.
        stream: The stream; made when there is none.
        subject: The subject of every message; the stream must hold it.
        credentials_file: The user's credentials; None: none are needed.
        replicas: How many servers hold a stream that is made here.
        duplicate_window: How long a stream that is made here recognizes message ids.
        min_age: The shortest `max_age` of a stream that is accepted.
        timeout: The longest wait for one acknowledgement.
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
    """Publishes each message under an id of its own, its attributes as headers.

    Runs the client in a thread with an event loop of its own: a sink is called from a thread that may wait.

    Args:
        target: Where to publish.

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
        """Publishes the messages and waits until the stream has acknowledged each."""
        if not self._client.is_connected:
            raise SinkError("NATS cannot be reached")
        self._run(self._publish(messages))

    def published_since(self, position: str, not_before: float) -> Iterable[tuple[str, str]]:  # noqa: ARG002 - the protocol's
        """Return nothing: the stream recognizes ids by itself."""
        return ()

    @property
    def position(self) -> str:
        """Always empty."""
        return ""

    def close(self) -> None:
        """Disconnects."""
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(self._timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except TimeoutError:  # nats-py's own timeout is one, too
            fault = None if self._client.is_connected else _certificate_fault(self._client.last_error)
            problem = "no answer in time" if fault is None else f"the server's certificate is rejected: {fault}"
        except (NatsError, OSError) as error:
            # The library's texts name servers and streams, never what is in a message.
            problem = str(error).removeprefix("nats: ") or type(error).__name__
        raise SinkError(f"NATS: {problem}")

    async def _open(self) -> tuple[JetStreamContext, int]:
        target = self._target
        await asyncio.wait_for(
            self._client.connect(
                servers=list(target.servers),
                user_credentials=target.credentials_file,
                name="telemetry-gateway",
                max_reconnect_attempts=-1,  # for ever, once it was connected
                reconnect_time_wait=1,
                error_cb=_log_problem,
                disconnected_cb=_log_disconnected,
                reconnected_cb=_log_reconnected,
                # Buffering would only delay the answer that nothing was published.
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
    """Return a message's headers: its attributes, percent-encoded but for plain ASCII, and its id.

    The id is the event's, then a dot and a hash of who sent it: the stream must not take the
    event of one publisher for the duplicate of another's.
    """
    # SECURITY: attributes hold text that anybody may send; a line break in one would forge headers.
    headers = {quote(key, safe=""): quote(value, safe=" /:") for key, value in message.attributes.items()}
    publisher = hashlib.sha256(message.publisher.encode()).hexdigest()[:16]
    return {**headers, _MESSAGE_ID: f"{quote(message.event_id, safe='')}.{publisher}"}


def _certificate_fault(error: Exception | None) -> CertificateFault | None:
    # The client trusts the system's authorities, as OpenSSL finds them.
    return None if error is None else certificate_fault(error, ca_file_setting="the file that SSL_CERT_FILE names")


async def _log_problem(error: Exception) -> None:
    fault = _certificate_fault(error)
    _log.warning("NATS connection failed", problem=type(error).__name__ if fault is None else str(fault))


async def _log_disconnected() -> None:
    _log.warning("NATS disconnected")


async def _log_reconnected() -> None:
    _log.info("NATS reconnected")
