"""The JSON form of an event in the output of commands."""

from typing import Any

from google.protobuf.json_format import MessageToDict, SerializeToJsonError

from telemetry.v1 import telemetrygateway_pb2 as pb


def event_content(event: pb.Event) -> dict[str, Any] | None:
    """Return an event as a gateway publishes it.

    None if JSON cannot represent a time or a number in it: adopted queues and rejects may contain such events.
    """
    try:
        return MessageToDict(event)
    except SerializeToJsonError:
        return None
