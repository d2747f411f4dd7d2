"""Helpers to test services that record events: captured events, and a gateway with scripted faults.

pytest loads the fixtures automatically; see docs/how-to/test-your-telemetry.md.
"""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
    from telemetry_testing.fault_proxy import Fault, FaultProxy
    from telemetry_testing.recorded_event import RecordedEvent
    from telemetry_testing.scripted_server import (
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
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "Batch": "scripted_server",
            "EndStream": "scripted_server",
            "Fault": "fault_proxy",
            "FaultProxy": "fault_proxy",
            "RecordedEvent": "recorded_event",
            "Refuse": "scripted_server",
            "Script": "scripted_server",
            "ScriptedGateway": "scripted_server",
            "TelemetryEvents": "telemetry_events",
            "acknowledge": "scripted_server",
            "delay": "scripts",
            "ignore": "scripts",
            "in_turn": "scripts",
            "refuse": "scripts",
            "reject": "scripts",
            "scripted_gateway": "scripted_server",
        },
        extra="export",
    )

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
