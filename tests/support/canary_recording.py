"""A process that records events with canaries in every private place, and provokes errors.

Arguments: the URL of the database, the number of rounds, whether without `event_logs`.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import create_engine

import telemetry
from recorder import AsyncRecorder, BestEffortRecorder, BufferedRecorder, Recorder
from support.canaries import Canaries
from telemetry import EventContext, EventParameters, MarketingTracking, NewEvent

MARKETING = (
    "url", "first_source_url", "cohort_id", "referrer", "last_source_url", "device_session_id", "session_referrer",
    "session_first_url",
)  # fmt: skip
ALLOWED = "allowed"
"""The private key that the allowlist allows to leave."""
_SOURCE = str(Path(telemetry.__file__).parents[1])
_log = structlog.get_logger("service")
canary = Canaries()


class MappingWithQuotingErrors(Mapping[str, Any]):
    """A mapping whose errors quote its content."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(canary("exception"))

    def __iter__(self) -> Iterator[str]:
        raise ValueError(canary("exception"))

    def __len__(self) -> int:
        return 1


def private() -> dict[str, Any]:
    return {
        "query": canary("private"),
        canary("key"): {"deep": [canary("private"), {canary("key"): canary("private")}]},
    }


def marketing() -> MarketingTracking:
    return MarketingTracking(**{name: canary("marketing") for name in MARKETING})


def good(feature: str = "search.results", **parameters: Any) -> NewEvent:
    return NewEvent.with_run_time_names(
        feature,
        "submit",
        EventParameters(metadata={"n": 1}, private_metadata=private(), **parameters),
        context=EventContext(user_id=7, marketing_tracking=marketing()),
    )


def bad() -> Iterator[Any]:
    """Yield invalid events, each for another reason, with a canary in or beside the invalid value."""
    yield NewEvent.with_run_time_names(canary("name"), "submit", EventParameters(private_metadata=private()))
    yield NewEvent.with_run_time_names("search", f"x {canary('name')}")
    broken: tuple[Any, ...] = (
        EventParameters(metadata={"query": canary("private")}),  # type: ignore[dict-item]
        EventParameters(metadata={f"a key {canary('key')}": float("nan")}),
        EventParameters(metadata=MappingWithQuotingErrors()),
        EventParameters(private_metadata=MappingWithQuotingErrors()),
        EventParameters(private_metadata={"a": canary("private"), "b": object()}),  # type: ignore[dict-item]
        EventParameters(private_metadata={f"a key {canary('key')}": f"{canary('private')}\0"}),
        EventParameters(private_metadata={"large": canary("private") * 5_000}),
        EventParameters(version=canary("private")),  # type: ignore[arg-type]
    )
    for parameters in broken:
        yield NewEvent("search", "submit", parameters, context=EventContext(marketing_tracking=marketing()))
    yield NewEvent("search", "submit", id=canary("private"))
    yield NewEvent("search", "submit", timestamp=canary("private"))  # type: ignore[arg-type]
    yield "not an event"


class WholeRecords(logging.Handler):
    """Prints all that a handler of a host can read of a record."""

    printed = 0

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), vars(record))
        self.printed += 1


def log_error(error: BaseException) -> None:
    """Log an error in every way that services do, including local variables of this project's stack frames."""
    print(str(error), repr(error))
    logging.getLogger("service").error("refused", exc_info=error)
    _log.error("refused", error=str(error), exc_info=True)
    summary = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain: traceback.TracebackException | None = summary
    while chain is not None:
        chain.stack = traceback.StackSummary.from_list(
            [frame for frame in chain.stack if frame.filename.startswith(_SOURCE)]
        )
        print("".join(chain.format(chain=False)))
        for name, value in ((name, value) for frame in chain.stack for name, value in (frame.locals or {}).items()):
            print(name, value)
        chain = chain.__cause__ or chain.__context__


def provoke(recorder: Recorder, events: Iterator[Any]) -> None:
    best_effort, buffered, asynchronous = (
        BestEffortRecorder(recorder),
        BufferedRecorder(recorder),
        AsyncRecorder(recorder),
    )
    for event in events:
        for record in (recorder.batch_record, lambda some: asyncio.run(asynchronous.batch_record(some))):
            try:
                record([good(), event])
            except Exception as error:  # noqa: BLE001 - all errors are searched
                log_error(error)
            else:
                raise AssertionError("the invalid event was recorded")
        assert best_effort.batch_record([good(), event]) is None
        buffered.batch_record([event])  # accepted, but cannot be stored, which is logged on close
    buffered.close()


def main(url: str, events: int, *, without_event_logs: bool) -> None:
    logging.basicConfig(level=logging.DEBUG)
    recorder = Recorder.from_url(url, service_version="1")
    logging.getLogger("recorder").addHandler(whole := WholeRecords())
    provoke(recorder, bad())  # logged through the standard library, as long as structlog is not configured
    assert whole.printed
    # The default formatter also shows local variables of the service, which this project cannot hide.
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    asynchronous = AsyncRecorder(recorder)
    host = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), echo=True)
    for number in range(events):
        recorder.batch_record([good() for _ in range(number % 3 + 1)], without_event_logs=without_event_logs)
        if number % 5 == 0:
            asyncio.run(asynchronous.batch_record([good()], without_event_logs=without_event_logs))
            with host.begin() as connection:
                recorder.batch_record([good()], connection=connection, without_event_logs=without_event_logs)
    listed = NewEvent(
        "assistant.chat", "submit", EventParameters(private_metadata={ALLOWED: canary("allowed"), **private()})
    )
    recorder.record_event(listed, without_event_logs=without_event_logs)
    many = {f"recordsPrivateMetadata{'x' * 90}{number}": 1 for number in range(60)}  # the gateway rejects it
    rejected = NewEvent("search", "reject", EventParameters(metadata=many, private_metadata=private()))
    recorder.record_event(rejected, without_event_logs=without_event_logs)
    provoke(recorder, bad())
    password = canary("password")
    for broken in (f"postgresql://u:{password}@127.0.0.1:1/x", "sqlite:////no/such/folder/x.db"):
        unreachable = Recorder.from_url(broken, service_version="1")
        provoke(unreachable, iter([good()]))
    for refused in (f"mysql://u:{password}@h/x", f"no url {password}"):
        try:
            Recorder.from_url(refused, service_version="1")
        except Exception as error:  # noqa: BLE001 - all errors are searched
            log_error(error)
    with host.begin() as connection:  # the caller's transaction, and the same id twice
        event = good()
        (event_id,) = recorder.batch_record([event], without_event_logs=without_event_logs)
        twice = NewEvent(event.feature, event.action, event.parameters, event_id, context=event.context)
        try:
            recorder.record_event(twice, connection=connection, without_event_logs=without_event_logs)
        except Exception as error:  # noqa: BLE001 - all errors are searched
            log_error(error)
    recorder.close()
    print("made", canary.made)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), without_event_logs=sys.argv[3] == "True")
