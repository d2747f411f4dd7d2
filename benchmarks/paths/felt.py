"""Buffered `record` as seen by the caller, compared with the calls of other recorders with idle senders."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from measure import Comparison, interleave, seconds_per_call
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from stores import PARAMETERS, Stores, recorder_on, usual_context

from recorder import BufferedRecorder

NOWHERE = "http://127.0.0.1:9"
MANY = 1_000_000
A_WHILE = 3_600


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    calls, rounds = (2_000, 15) if full else (1_000, 7)
    recorder = BufferedRecorder(
        recorder_on(stores.fresh("sqlite")), capacity=MANY, flush_interval=timedelta(seconds=A_WHILE), flush_events=MANY
    )
    cases: dict[str, Callable[[], Any]] = {
        "ours": lambda: recorder.record("search.results", "submit", PARAMETERS),
        "floor": opentelemetry(),
        "PostHog": posthog(),
        "Segment": segment(),
        "Snowplow": snowplow(),
    }
    with usual_context():
        figures = interleave({name: seconds_per_call(call, calls) for name, call in cases.items()}, rounds)
    recorder.flush(timedelta(seconds=60))
    recorder.close()
    yield Comparison("record, buffered, as the caller feels it", "s", figures, 1.0, notes=["floor: OpenTelemetry"])


def properties() -> dict[str, Any]:
    return {"results": 12, "durationMs": 41.5, "query": "how to make tea", "language": "en", "new-ranking": True}


def opentelemetry() -> Callable[[], Any]:
    provider = LoggerProvider()
    provider.add_log_record_processor(
        BatchLogRecordProcessor(
            InMemoryLogRecordExporter(), schedule_delay_millis=A_WHILE * 1000, max_queue_size=MANY,
            max_export_batch_size=MANY,
        )
    )  # fmt: skip
    logger = provider.get_logger("bench")
    return lambda: logger.emit(
        LogRecord(severity_number=SeverityNumber.INFO, body="search.results submit", attributes=properties())
    )


def posthog() -> Callable[[], Any]:
    from posthog import Posthog  # noqa: PLC0415 - only this peer needs it

    client = Posthog("key", host=NOWHERE, max_queue_size=MANY, flush_at=MANY, flush_interval=A_WHILE)
    return lambda: client.capture("search.results submit", distinct_id="7", properties=properties())


def segment() -> Callable[[], Any]:
    from segment.analytics.client import Client  # noqa: PLC0415 - only this peer needs it

    client = Client("key", host=NOWHERE, max_queue_size=MANY, upload_size=MANY, upload_interval=A_WHILE)
    return lambda: client.track("7", "search.results submit", properties())


def snowplow() -> Callable[[], Any]:
    from snowplow_tracker import Emitter, StructuredEvent, Subject, Tracker  # noqa: PLC0415 - only this peer needs it

    tracker = Tracker("bench", [Emitter("127.0.0.1", protocol="http", port=9, batch_size=MANY)], Subject())
    return lambda: tracker.track(
        StructuredEvent(category="search.results", action="submit", label="en", property_="how to make tea", value=12)
    )
