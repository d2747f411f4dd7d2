"""The sink `stdout`: writes each message to standard output as a line of JSON, for inspection and pipes."""

import sys
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from telemetry_gateway.errors import SinkError
from telemetry_gateway.sinks.lines import encode_line
from telemetry_gateway.sinks.sink import Message


class StdoutSink:
    """Writes each message as a line, and flushes. The durability depends on the process that reads the output.

    Args:
        max_message_bytes: The largest message body.
        stream: The stream to write to; by default standard output.
    """

    def __init__(self, max_message_bytes: int, stream: BinaryIO | None = None) -> None:
        self.max_message_bytes = max_message_bytes
        self._stream = sys.stdout.buffer if stream is None else stream

    def publish(self, messages: Sequence[Message]) -> None:
        """Write the messages, and flush."""
        try:
            self._stream.write(b"".join(encode_line(message) for message in messages))
            self._stream.flush()
        except (OSError, ValueError) as error:
            problem = type(error).__name__
        else:
            return
        raise SinkError(f"standard output cannot be written ({problem})")

    def published_since(self, position: str, not_before: float) -> Iterable[tuple[str, str]]:  # noqa: ARG002 - the protocol's
        """Return an empty sequence: the output cannot be read again."""
        return ()

    @property
    def position(self) -> str:
        """Always empty."""
        return ""

    def close(self) -> None:
        """Do nothing: standard output stays open."""
