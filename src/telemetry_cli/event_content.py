"""An event as commands show it."""

from typing import Any

from google.protobuf.json_format import MessageToDict, SerializeToJsonError

from telemetry.v1 import telemetrygateway_pb2 as pb


def event_content(event: pb.Event) -> dict[str, Any] | None:
    """Returns an event as a gateway would publish it.

    None where JSON has no words for a time or a number in it: adopted queues and rejects may hold such events.
    """
    try:
        return MessageToDict(event)
    except SerializeToJsonError:
        return None
