"""Encode a message as a line of JSON: `{"attributes": {...}, "message": {"metadata": ..., "event": ...}}`."""

from typing import Any

import orjson

from telemetry_gateway.publishing.publisher import name_in_json
from telemetry_gateway.sinks.sink import Message


def encode_line(message: Message) -> bytes:
    """Return the line of a message, including the line feed. JSON text contains no other line feed."""
    attributes = orjson.dumps(dict(message.attributes))
    return b'{"attributes":' + attributes + b',"message":' + message.body + b"}\n"


def decode_key(line: bytes) -> tuple[str, str]:
    """Return the key of the message on a line.

    Raises:
        ValueError: The line was not written by `encode_line`.
    """
    try:
        message: dict[str, Any] = orjson.loads(line)["message"]
        return name_in_json(message["metadata"]["identifier"]), str(message["event"]["id"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError("not a line of a telemetry sink") from error
