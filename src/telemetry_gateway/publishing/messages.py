"""How an event becomes a message for the sink."""

from collections.abc import Mapping
from typing import Final

import orjson
from google.protobuf.json_format import MessageToDict, SerializeToJsonError

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.errors import InvalidStreamError
from telemetry_gateway.publishing.event_json import event_to_json
from telemetry_gateway.publishing.publisher import Publisher
from telemetry_gateway.sinks.sink import Message
from telemetry_gateway.validation import merge_legacy_metadata, rejection_of

_RECORDS_PRIVATE_METADATA: Final = "recordsPrivateMetadata"
# It is repeated in every message, so a large one would make each event "too large", for ever.
_MAX_METADATA_BYTES: Final = 16 * 1024
# Brokers bound headers: JetStream's, percent-encoded, have room for several times as much.
_MAX_ATTRIBUTES_BYTES: Final = 4 * 1024
# These are short: names are bounded, and so are service ids.
_ALWAYS_THERE: Final = 4


class MessageMaker:
    """Makes the messages of one stream.

    Args:
        metadata: The stream's metadata.
        publisher: Who is sending.
        max_message_bytes: The largest body that the sink takes.

    Attributes:
        metadata: The stream's metadata.
        publisher: Who is sending.

    Raises:
        InvalidStreamError: The metadata is too large.
    """

    def __init__(
        self, metadata: pb.RecordEventsRequestMetadata, publisher: Publisher, *, max_message_bytes: int
    ) -> None:
        if metadata.ByteSize() > _MAX_METADATA_BYTES:
            raise InvalidStreamError("metadata", f"is larger than {_MAX_METADATA_BYTES} bytes")
        self.metadata = metadata
        self.publisher = publisher
        self._max_message_bytes = max_message_bytes
        self._start = b'{"metadata":' + orjson.dumps(MessageToDict(metadata)) + b',"event":'

    def make(self, event: pb.Event) -> Message | str:
        """Return an event's message, or why the event can never be accepted."""
        if reason := rejection_of(event):
            return reason
        merge_legacy_metadata(event)
        try:
            body = self._start + orjson.dumps(event_to_json(event)) + b"}"
        except (ValueError, TypeError, RecursionError, SerializeToJsonError):
            # The JSON mapping of private_metadata knows no NaN and no infinity.
            return "private_metadata cannot be written as JSON"
        if len(body) > self._max_message_bytes:
            return f"is {len(body)} bytes as a message, more than the sink's {self._max_message_bytes}"
        attributes = self._attributes(event)
        if len(attributes) > _ALWAYS_THERE and sum(map(len, map(str.encode, attributes))) > _MAX_ATTRIBUTES_BYTES:
            return f"has attributes of more than {_MAX_ATTRIBUTES_BYTES} bytes"
        return Message(self.publisher.name, event.id, attributes, body)

    def _attributes(self, event: pb.Event) -> Mapping[str, str]:
        has_private = event.parameters.HasField("private_metadata")
        attributes = {
            "publisher.source": self.publisher.source,
            "event.feature": event.feature,
            "event.action": event.action,
            "event.hasPrivateMetadata": "true" if has_private else "false",
        }
        for key, value in event.parameters.metadata.items():
            if key.startswith(_RECORDS_PRIVATE_METADATA) and len(key) > len(_RECORDS_PRIVATE_METADATA) and value > 0:
                attributes[f"event.{key}"] = "true"
        return attributes
