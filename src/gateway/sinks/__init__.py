"""Where a gateway publishes."""

from gateway.sinks.jsonl import JsonlSink
from gateway.sinks.rotation import Rotation
from gateway.sinks.sink import Message, Sink
from gateway.sinks.stdout import StdoutSink

__all__ = ["JsonlSink", "Message", "Rotation", "Sink", "StdoutSink"]
