"""Log lines reach the host: by the standard library's logging, or by the host's structlog."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from telemetry.logger import facts_of, get_logger

PACKAGE = "some_package"
MODULE = f"{PACKAGE}.module"


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, package = Kept(), logging.getLogger(PACKAGE)
    package.addHandler(handler)
    package.setLevel(logging.DEBUG)
    yield handler
    package.removeHandler(handler)
    package.setLevel(logging.NOTSET)
    logging.getLogger(MODULE).setLevel(logging.NOTSET)


@pytest.fixture
def record_factory() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


class TestWithoutStructlog:
    def test_a_record_has_readable_text_and_each_key(self, kept: Kept) -> None:
        get_logger(MODULE).warning("queue not measured", count=3, error="it is locked", late=None)
        (record,) = kept.records
        assert (record.name, record.levelname) == (MODULE, "WARNING")
        assert record.getMessage() == "queue not measured: count=3 error='it is locked' late=None"
        assert facts_of(record) == {"event": "queue not measured", "count": 3, "error": "it is locked", "late": None}

    def test_it_shows_the_line_that_logs(self, kept: Kept) -> None:
        log = get_logger(MODULE)
        log.info("one")
        log.warning("two")
        log.error("three")
        log.log(logging.CRITICAL, "four")
        places = {(record.pathname, record.funcName) for record in kept.records}
        assert places == {(__file__, "test_it_shows_the_line_that_logs")}
        assert [record.levelname for record in kept.records] == ["INFO", "WARNING", "ERROR", "CRITICAL"]

    def test_the_text_to_group_by_holds_no_value(self, kept: Kept) -> None:
        get_logger(MODULE).info("100% done", count=1)
        get_logger(MODULE).info("100% done", count=2)
        assert {record.msg for record in kept.records} == {"100%% done: count=%r"}
        get_logger(MODULE).info("100% done")
        assert [record.getMessage() for record in kept.records] == [
            "100% done: count=1",
            "100% done: count=2",
            "100% done",
        ]

    @given(text=st.text())
    def test_no_value_begins_another_line(self, text: str) -> None:
        handler, logger = Kept(), logging.getLogger(f"{PACKAGE}.lines")
        logger.addHandler(handler)
        try:
            get_logger(f"{PACKAGE}.lines").error("failed", problem=text)
        finally:
            logger.removeHandler(handler)
        assert handler.records[0].getMessage().splitlines() == [f"failed: problem={text!r}"]

    def test_keys_of_a_record_get_an_underscore(self, kept: Kept) -> None:
        taken: dict[str, Any] = dict.fromkeys(("name", "msg", "args", "message", "asctime", "module", "taskName"), 1)
        get_logger(MODULE).info("renamed", **taken, exc_info="text")
        (record,) = kept.records
        assert facts_of(record) == {"event": "renamed", **{f"{key}_": 1 for key in taken}, "exc_info_": "text"}
        assert (record.name, record.exc_info, record.stack_info) == (MODULE, None, None)

    @pytest.mark.usefixtures("record_factory")
    def test_an_attribute_of_the_hosts_record_factory_is_left_alone(self, kept: Kept) -> None:
        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = logging.LogRecord(*args, **kwargs)
            record.request_id = record.request_id_ = "the host's"
            return record

        logging.setLogRecordFactory(factory)
        get_logger(MODULE).info("export pass", request_id="ours")
        (record,) = kept.records
        facts = facts_of(record)
        assert facts["request_id"] == facts["request_id_"] == "the host's"
        assert facts["request_id__"] == "ours"

    def test_a_json_formatter_can_write_all_that_a_record_holds(self, kept: Kept) -> None:
        get_logger(MODULE).info("export pass", request_id="r", left=None, duration=0.25, sent=3)
        written = json.loads(json.dumps(kept.records[0].__dict__))
        assert {key: written[key] for key in ("event", "request_id", "left", "duration", "sent")} == {
            "event": "export pass",
            "request_id": "r",
            "left": None,
            "duration": 0.25,
            "sent": 3,
        }

    def test_levels_and_switches_of_the_host_hold(self, kept: Kept) -> None:
        log = get_logger(MODULE)
        logging.getLogger(MODULE).setLevel(logging.ERROR)
        log.warning("below the level of the module")
        logging.getLogger(PACKAGE).setLevel(logging.CRITICAL)
        logging.getLogger(MODULE).setLevel(logging.NOTSET)
        log.error("below the level of the package")
        logging.getLogger(PACKAGE).setLevel(logging.DEBUG)
        logging.disable(logging.ERROR)
        try:
            log.error("below what is disabled")
        finally:
            logging.disable(logging.NOTSET)
        log.info("seen")
        assert [record.getMessage() for record in kept.records] == ["seen"]

    @pytest.mark.parametrize("error", [RuntimeError, RecursionError, KeyError])
    def test_a_handler_that_fails_costs_the_caller_nothing(self, kept: Kept, error: type[Exception]) -> None:
        class Failing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise error(record.name)

        failing = Failing()
        logging.getLogger(MODULE).addHandler(failing)
        try:
            get_logger(MODULE).error("failed", count=1)
        finally:
            logging.getLogger(MODULE).removeHandler(failing)
        assert kept.records == []

    def test_the_package_gets_one_handler_that_prints_nothing(self) -> None:
        for name in ("quiet.one", "quiet.two", "quiet.two.three"):
            get_logger(name)
        assert [type(handler) for handler in logging.getLogger("quiet").handlers] == [logging.NullHandler]

    def test_caplog_sees_it(self, caplog: pytest.LogCaptureFixture) -> None:
        get_logger(MODULE).error("failed", count=1)
        assert caplog.record_tuples == [(MODULE, logging.ERROR, "failed: count=1")]


class TestWithStructlog:
    def test_its_configuration_wins_as_soon_as_there_is_one(self, kept: Kept) -> None:
        log = get_logger(MODULE)
        log.info("before", count=1)
        with structlog.testing.capture_logs() as lines:
            log.info("configured", count=2)
            log.log(logging.CRITICAL, "worst")
        assert lines == [
            {"event": "configured", "count": 2, "log_level": "info"},
            {"event": "worst", "log_level": "critical"},
        ]
        structlog.reset_defaults()
        log.info("after")
        assert [facts_of(record)["event"] for record in kept.records] == ["before", "after"]

    def test_the_loggers_of_the_standard_library_below_it_get_each_line_once(self, kept: Kept) -> None:
        structlog.configure(
            processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
        get_logger(MODULE).warning("queue not measured", error="locked")
        (record,) = kept.records
        assert (record.name, record.getMessage(), facts_of(record)) == (
            MODULE,
            "queue not measured",
            {"error": "locked"},
        )

    def test_a_later_configuration_holds(self) -> None:
        log, first, second = (
            get_logger(MODULE),
            structlog.testing.CapturingLogger(),
            structlog.testing.CapturingLogger(),
        )
        for logger in (first, second):
            structlog.configure(logger_factory=lambda *_, logger=logger: logger)
            log.info("line")
        assert [len(logger.calls) for logger in (first, second)] == [1, 1]

    def test_a_processor_that_fails_costs_the_caller_nothing(self) -> None:
        def failing(*_: object) -> str:
            raise RuntimeError

        structlog.configure(processors=[failing])
        get_logger(MODULE).error("failed")


BARE = """
import os, sys
from telemetry.logger import get_logger
assert "structlog" not in sys.modules
log = get_logger("recorder.module")
log.info("nothing listens")
log.error("nothing listens", count=1)
if os.fork() == 0:
    log.error("nothing listens in the child")
    os._exit(0)
os.wait()
"""
LATE = """
import json, logging.config, os, sys
from telemetry.logger import get_logger
log = get_logger("recorder.module")
logging.config.dictConfig({
    "version": 1, "formatters": {"f": {"format": "%(name)s %(levelname)s %(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "f"}},
    "root": {"handlers": ["h"], "level": "INFO"}, "disable_existing_loggers": True,
})
log.info("seen", count=1)
if os.fork() == 0:
    log.error("seen in the child")
    os._exit(0)
os.wait()
"""


def run(program: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout, done.stderr


def test_a_host_without_any_configuration_sees_nothing() -> None:
    assert run(BARE) == ("", "")


def test_a_configuration_after_the_import_does_not_disable_our_loggers() -> None:
    assert run(LATE) == ("", "recorder.module INFO seen: count=1\nrecorder.module ERROR seen in the child\n")
