"""Code that must fail type checking: each line that ends in `# E: <rule>` violates exactly that rule."""

from recorder import BestEffortRecorder, Recorder
from telemetry import EventParameters, NewEvent
from telemetry.web import asgi
from telemetry_testing import ScriptedGateway, TelemetryEvents

recorder = Recorder.from_url("sqlite:///telemetry.db", service_version="1.0")


def record(name_from_a_request: str, number: int) -> None:
    recorder.record(name_from_a_request, "submit")  # E: reportArgumentType
    recorder.record("search", name_from_a_request)  # E: reportArgumentType
    recorder.record(f"search.{name_from_a_request}", "submit")  # E: reportArgumentType
    recorder.record(f"search.{number}", "submit")  # E: reportArgumentType
    NewEvent(name_from_a_request, "submit")  # E: reportArgumentType
    BestEffortRecorder(recorder).record(name_from_a_request, "submit")  # E: reportArgumentType
    recorder.record("search", "submit", {"metadata": {}})  # E: reportArgumentType
    recorder.record("search", "submit", EventParameters(metadata={"k": "text"}))  # E: reportArgumentType
    recorder.record("search", "submit", EventParameters(private_metadata={"k": {1, 2}}))  # E: reportArgumentType
    recorder.record("search", "submit", connection="sqlite://")  # E: reportArgumentType
    recorder.record("search")  # E: reportCallIssue
    EventParameters(1)  # E: reportCallIssue


def demand(telemetry_events: TelemetryEvents, telemetry_gateway: ScriptedGateway, app: asgi.App) -> None:
    telemetry_events.one("search", user_id="7")  # E: reportArgumentType
    telemetry_events.assert_recorded("search", "submit", usre_id=7)  # E: reportCallIssue
    telemetry_events.assert_recorded("search")  # E: reportCallIssue
    telemetry_gateway.script = "acknowledge"  # E: reportAttributeAccessIssue
    asgi.TelemetryContextMiddleware(app, identify={"user_id": 7})  # E: reportArgumentType
