"""Convert events to messages for the sink."""

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
# Every message repeats the metadata, so large metadata would make every event of the stream too large.
_MAX_METADATA_BYTES: Final = 16 * 1024
# Brokers limit the size of headers. JetStream's limit is several times this size, even with percent-encoding.
_MAX_ATTRIBUTES_BYTES: Final = 4 * 1024
# Number of attributes that every message has. They are short, because names and service ids have a length limit.
_ALWAYS_THERE: Final = 4


class MessageMaker:
    """Creates the messages of a stream.

    Args:
        metadata: The metadata of the stream.
        publisher: The publisher of the stream.
        max_message_bytes: The largest message body that the sink accepts.

    Attributes:
        metadata: The metadata of the stream.
        publisher: The publisher of the stream.

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
        """Return the message of an event, or the reason why the event can never be accepted."""
        if reason := rejection_of(event):
            return reason
        merge_legacy_metadata(event)
        try:
            body = self._start + orjson.dumps(event_to_json(event)) + b"}"
        except (ValueError, TypeError, RecursionError, SerializeToJsonError):
            # The JSON mapping of private_metadata supports neither NaN nor infinity.
            return "private_metadata cannot be written as JSON"
        if len(body) > self._max_message_bytes:
            return f"has {len(body)} bytes as a message, more than the sink's limit of {self._max_message_bytes}"
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
