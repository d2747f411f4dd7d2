"""Scripts for `ScriptedGateway`, to be combined.

gateway.script = in_turn(refuse("RESOURCE_EXHAUSTED"), delay(0.5), acknowledge)
"""

import threading
import time

import grpc

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_testing.scripted_gateway import Batch, Refuse, Script, acknowledge


def refuse(code: str | grpc.StatusCode, details: str = "scripted") -> Script:
    """Breaks the stream, or fails the single call, with a status.

    Args:
        code: For example `RESOURCE_EXHAUSTED`, `UNAVAILABLE`, `PERMISSION_DENIED`.
        details: Its text.

    Raises:
        KeyError: gRPC has no such status.
    """
    status = grpc.StatusCode[code] if isinstance(code, str) else code

    def script(_batch: Batch) -> pb.RecordEventsResponse:
        raise Refuse(status, details)

    return script


def reject(reason: str, *feature: str) -> Script:
    """Says of events that they can never succeed, and acknowledges the others.

    Args:
        reason: Why.
        *feature: Of which features; none: of all.
    """

    def script(batch: Batch) -> pb.RecordEventsResponse:
        rejected = [event.id for event in batch.events if not feature or event.feature in feature]
        return pb.RecordEventsResponse(
            succeeded_events=[event_id for event_id in batch.ids if event_id not in rejected],
            rejected_events=[pb.RejectedEvent(event_id=event_id, reason=reason) for event_id in rejected],
        )

    return script


def ignore(_batch: Batch) -> pb.RecordEventsResponse:
    """Answers, but acknowledges nothing, as a gateway whose sink fails."""
    return pb.RecordEventsResponse()


def delay(seconds: float, then: Script = acknowledge) -> Script:
    """Waits before it does something.

    Args:
        seconds: How long.
        then: What it does after that.
    """

    def script(batch: Batch) -> pb.RecordEventsResponse | None:
        time.sleep(seconds)
        return then(batch)

    return script


def in_turn(*scripts: Script) -> Script:
    """Does one thing with the first batch, another with the second; the last for ever.

    Raises:
        ValueError: There is none.
    """
    if not scripts:
        raise ValueError("in_turn needs a script at least")
    left = list(scripts)
    lock = threading.Lock()

    def script(batch: Batch) -> pb.RecordEventsResponse | None:
        with lock:
            now = left.pop(0) if len(left) > 1 else left[0]
        return now(batch)

    return script
