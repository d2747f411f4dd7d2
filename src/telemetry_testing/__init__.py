"""Helpers to test services that record events: captured events, and a gateway with scripted faults.

pytest loads the fixtures automatically; see docs/how-to/test-your-telemetry.md.
"""

from telemetry_testing.fault_proxy import Fault, FaultProxy
from telemetry_testing.recorded_event import RecordedEvent
from telemetry_testing.scripted_gateway import (
    Batch,
    EndStream,
    Refuse,
    Script,
    ScriptedGateway,
    acknowledge,
    scripted_gateway,
)
from telemetry_testing.scripts import delay, ignore, in_turn, refuse, reject
from telemetry_testing.telemetry_events import TelemetryEvents

__all__ = [
    "Batch",
    "EndStream",
    "Fault",
    "FaultProxy",
    "RecordedEvent",
    "Refuse",
    "Script",
    "ScriptedGateway",
    "TelemetryEvents",
    "acknowledge",
    "delay",
    "ignore",
    "in_turn",
    "refuse",
    "reject",
    "scripted_gateway",
]
