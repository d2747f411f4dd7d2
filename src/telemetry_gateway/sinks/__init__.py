"""The sinks that a gateway publishes to."""

from telemetry_gateway.sinks.jsonl import JsonlSink
from telemetry_gateway.sinks.rotation import Rotation
from telemetry_gateway.sinks.sink import Message, Sink
from telemetry_gateway.sinks.stdout import StdoutSink

__all__ = ["JsonlSink", "Message", "Rotation", "Sink", "StdoutSink"]
