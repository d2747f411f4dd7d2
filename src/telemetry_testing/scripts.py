"""Scripts for `ScriptedGateway`, which can be combined.

gateway.script = in_turn(refuse("RESOURCE_EXHAUSTED"), delay(0.5), acknowledge)
"""

import threading
import time

import grpc

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_testing.scripted_server import Batch, Refuse, Script, acknowledge


def refuse(code: str | grpc.StatusCode, details: str = "scripted") -> Script:
    """Return a script that ends the stream or unary call with an error status.

    Args:
        code: For example `RESOURCE_EXHAUSTED`, `UNAVAILABLE`, `PERMISSION_DENIED`.
        details: The details of the status.

    Raises:
        KeyError: gRPC has no such status.
    """
    status = grpc.StatusCode[code] if isinstance(code, str) else code

    def script(_batch: Batch) -> pb.RecordEventsResponse:
        raise Refuse(status, details)

    return script


def reject(reason: str, *feature: str) -> Script:
    """Return a script that rejects events permanently, and acknowledges the others.

    Args:
        reason: The reason to send.
        *feature: The features whose events are rejected; by default all.
    """

    def script(batch: Batch) -> pb.RecordEventsResponse:
        rejected = [event.id for event in batch.events if not feature or event.feature in feature]
        return pb.RecordEventsResponse(
            succeeded_events=[event_id for event_id in batch.ids if event_id not in rejected],
            rejected_events=[pb.RejectedEvent(event_id=event_id, reason=reason) for event_id in rejected],
        )

    return script


def ignore(_batch: Batch) -> pb.RecordEventsResponse:
    """Respond without acknowledging anything, like a gateway whose sink fails."""
    return pb.RecordEventsResponse()


def delay(seconds: float, then: Script = acknowledge) -> Script:
    """Return a script that waits before it calls another.

    Args:
        seconds: How long to wait.
        then: The script to call afterwards.
    """

    def script(batch: Batch) -> pb.RecordEventsResponse | None:
        time.sleep(seconds)
        return then(batch)

    return script


def in_turn(*scripts: Script) -> Script:
    """Return a script that calls a different script for each batch, and the last one forever.

    Raises:
        ValueError: No script was given.
    """
    if not scripts:
        raise ValueError("in_turn requires at least one script")
    remaining = list(scripts)
    lock = threading.Lock()

    def script(batch: Batch) -> pb.RecordEventsResponse | None:
        with lock:
            now = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return now(batch)

    return script
