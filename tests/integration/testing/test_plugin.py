"""The pytest plugin, as used in the tests of a service."""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_telemetry import plugin
from support.recorders import stored_names
from telemetry_store.database import Database

pytest_plugins = ["pytester"]

RunTests = Callable[..., pytest.RunResult]
PRELUDE = """
import os
import asyncio
import pytest
from recorder import *
from telemetry import *
from telemetry_testing import *

URL = os.environ.get("SERVICE_DATABASE_URL", "sqlite:///telemetry.db")
"""


# Tests request the database fixture first: pytester unloads the modules that are imported after it.
@pytest.fixture
def run_tests(pytester: pytest.Pytester) -> RunTests:
    """Run tests with the plugin in a separate process."""

    def run(code: str) -> pytest.RunResult:
        pytester.makepyfile(PRELUDE + dedent(code))
        return pytester.runpytest_subprocess("-p", plugin.__name__, "-p", "no:cacheprovider")

    return run


def failure_messages(result: pytest.RunResult) -> str:
    """Return the tests' names and the messages of their failed assertions."""
    shown = (line for line in result.outlines if line.startswith(("E ", "___")))
    return "\n".join(line.removeprefix("E").strip() for line in shown)


def test_events_of_every_recorder_are_captured(run_tests: RunTests) -> None:
    run_tests("""
        def recorders():
            strict = Recorder.from_url(URL, service_version="1.4.0")
            return strict, BestEffortRecorder(strict), BufferedRecorder(strict), AsyncRecorder(strict)

        def test_it(telemetry_events, telemetry_recorder):
            strict, best_effort, buffered, asynchronous = recorders()
            with event_context(user_id=7, client=Client("web", "3.2"), country_code="DE", feature_flags={"new": True},
                    anonymous_user_id="a", interaction_id="i"):
                strict.record("search", "submit", EventParameters(
                    version=2, metadata={"n": 1, "warm": True}, private_metadata={"query": "mine", "deep": {"n": [1]}},
                    billing_metadata=BillingMetadata("product", "category"),
                ))
            best_effort.record("best", "effort")
            buffered.record("without", "waiting")
            asyncio.run(asynchronous.record("from", "asyncio"))
            telemetry_recorder.record("by", "fixture")
            telemetry_events.none("not", "recorded")
            assert [event.name for event in telemetry_events] == [
                "search.submit", "best.effort", "without.waiting", "from.asyncio", "by.fixture"]
            found = telemetry_events.assert_recorded(
                "search", "submit", version=2, metadata={"n": 1}, private_metadata={"query": "mine"}, user_id=7,
                client=Client("web", "3.2"), country_code="DE", feature_flags={"new": "true"}, interaction_id="i",
                anonymous_user_id="a", billing=("product", "category"),
            )
            assert found.metadata == {"n": 1, "warm": 1}
            assert found.private_metadata["deep"] == {"n": [1]}
            assert found.timestamp.utcoffset().total_seconds() == 0
            assert found.id == found.event.id
            other = telemetry_events.one("best")
            assert (other.private_metadata, other.billing, other.user_id, other.client) == (None,) * 4
            assert telemetry_events.one(action="asyncio") is telemetry_events.one("from", "asyncio")
            telemetry_events.clear()
            telemetry_events.none()
            assert not len(telemetry_events)

        def test_it_starts_empty(telemetry_events):
            telemetry_events.none()
    """).assert_outcomes(passed=2)
    assert not Path("telemetry.db").exists()


def test_events_are_validated_as_usual(run_tests: RunTests) -> None:
    run_tests("""
        def test_it(telemetry_events, telemetry_recorder):
            with pytest.raises(InvalidMetadataError):
                telemetry_recorder.record("search", "submit", EventParameters(metadata={"n": "text"}))
            assert BufferedRecorder(telemetry_recorder).record("Search", "submit") is None
            telemetry_events.none()
    """).assert_outcomes(passed=1)


def test_nothing_is_stored_unless_a_test_opts_in(
    database: Database,
    migrated_url: str,
    run_tests: RunTests,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_DATABASE_URL", migrated_url)
    pytester.makeconftest(f"{PRELUDE}Recorder.from_url(URL, service_version='1').record('in', 'conftest')\n")
    monkeypatch.setenv("TELEMETRY_EXPORT_MODE", "all")
    result = run_tests("""
        recorder = Recorder.from_url(URL, service_version="1")
        recorder.record("while", "collecting")

        @pytest.fixture(scope="session", autouse=True)
        def for_all():
            recorder.record("in", "session")
            yield
            recorder.record("at", "end")

        @pytest.fixture
        def row():
            recorder.record("in", "fixture")

        def test_without():
            recorder.record("no", "fixture")

        def test_captured(telemetry_events):
            recorder.record("captured", "only")

        @pytest.mark.telemetry_database
        def test_marked(row):
            recorder.record("marked", "test")

        @pytest.mark.telemetry_database
        def test_marked_and_captured(telemetry_events):
            recorder.record("marked", "captured")
            telemetry_events.one("marked", "captured")
    """)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["telemetry: recorders write nowhere, except in tests marked telemetry_database"])
    expected = ["in.fixture", "marked.captured", "marked.test"]
    assert stored_names(database) == (expected, expected)


def test_a_project_can_let_all_tests_store_events(
    database: Database,
    migrated_url: str,
    run_tests: RunTests,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_DATABASE_URL", migrated_url)
    pytester.makeini("[pytest]\ntelemetry_database = true\n")
    result = run_tests("""
        def test_it(telemetry_events):
            Recorder.from_url(URL, service_version="1").record("search", "submit")
            telemetry_events.one("search", "submit")
    """)
    result.assert_outcomes(passed=1)
    assert "recorders write nowhere" not in result.stdout.str()
    assert stored_names(database) == (["search.submit"], [])


def test_a_rollback_removes_captured_events(
    empty_url: str, run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_DATABASE_URL", empty_url)
    run_tests("""
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import Session

        @pytest.fixture
        def engine():
            engine = create_engine(URL)
            yield engine
            engine.dispose()

        def test_commit_and_rollback(telemetry_events, engine):
            recorder = Recorder.from_engine(engine, service_version="1")
            with engine.begin() as connection:
                recorder.record("committed", "first", connection=connection)
            with engine.connect() as connection:
                recorder.record("committed", "second", connection=connection)
                connection.commit()
                recorder.record("gone", "third", connection=connection)
                telemetry_events.one("gone", "third")
                connection.rollback()
            with pytest.raises(ZeroDivisionError), Session(engine) as session, session.begin():
                recorder.record("gone", "fourth", connection=session)
                1 / 0
            with engine.connect() as connection:
                recorder.record("gone", "fifth", connection=connection)
            assert [event.action for event in telemetry_events] == ["first", "second"]

        def test_savepoints(telemetry_events, engine):
            recorder = BestEffortRecorder(Recorder.from_engine(engine, service_version="1"))
            with engine.begin() as connection:
                recorder.record("kept", "before", connection=connection)
                with connection.begin_nested():
                    recorder.record("kept", "within", connection=connection)
                nested = connection.begin_nested()
                recorder.record("gone", "within", connection=connection)
                nested.rollback()
                recorder.record("kept", "after", connection=connection)
            assert [event.feature for event in telemetry_events] == ["kept"] * 3

        def test_a_savepoint_from_before_the_first_event(telemetry_events, engine):
            recorder = Recorder.from_engine(engine, service_version="1")
            with engine.begin() as connection:
                nested = connection.begin_nested()
                recorder.record("gone", "within", connection=connection)
                nested.rollback()
            telemetry_events.none()

        def test_an_outer_rollback_keeps_what_the_code_committed(telemetry_events, engine):
            recorder = Recorder.from_engine(engine, service_version="1")
            with engine.connect() as connection, connection.begin() as outer:
                with Session(connection, join_transaction_mode="create_savepoint") as session:
                    recorder.record("seen", "submit", connection=session)
                    session.commit()
                telemetry_events.one("seen", "submit")
                outer.rollback()
            telemetry_events.none()

        def test_a_connection_without_a_transaction_is_rejected(telemetry_events, engine):
            recorder = Recorder.from_engine(engine, service_version="1")
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                with pytest.raises(InvalidConnectionError):
                    recorder.record("search", "submit", connection=connection)
    """).assert_outcomes(passed=5)


def test_the_exported_form(run_tests: RunTests, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]\ntelemetry_allowlist_file = allowlist.toml\n")
    Path("allowlist.toml").write_text("""
        [[event]]
        feature = "search"
        action = "submit"
        keys = { language = "shows which parser to improve" }
        approved_by = "ada"
        approved_on = 2026-01-01
    """)
    monkeypatch.setenv("TELEMETRY_EXPORT_MODE", "search")
    run_tests("""
        SEARCH = EventParameters(metadata={"n": 1}, private_metadata={"query": "mine", "language": "python"})

        def test_by_the_projects_allowlist(telemetry_events, telemetry_recorder):
            telemetry_recorder.record("search", "submit", SEARCH)
            event = telemetry_events.one(leaves=True)
            assert event.exported_form.private_metadata == {"language": "python"}
            assert event.exported_form.metadata == {"n": 1}
            assert event.private_metadata == {"query": "mine", "language": "python"}

        def test_by_the_settings_of_the_recorder_under_test(telemetry_events):
            recorder = Recorder.from_url(URL, service_version="1")
            recorder.record("search", "submit", SEARCH)
            recorder.record("chat", "submit", SEARCH)
            with event_context(feature_flags={"telemetry-export": False}):
                recorder.record("search", "kept", SEARCH)
            assert telemetry_events.one("search", "submit", leaves=True).exported_form.private_metadata is None
            telemetry_events.one("chat", leaves=False)
            telemetry_events.one("search", "kept", leaves=False)

        def test_with_a_store_without_an_allowlist(telemetry_events):
            class Store:
                def store_events(self, events, **options): raise AssertionError
                def check(self): raise AssertionError
                def close(self): pass

            Recorder(Store(), service_version="1").record("search", "submit", SEARCH)
            assert telemetry_events.one(leaves=False).exported_form.private_metadata is None
    """).assert_outcomes(passed=3)


def test_a_failing_recorder(run_tests: RunTests) -> None:
    run_tests("""
        def test_it(telemetry_events, telemetry_recorder):
            with telemetry_events.failing(DatabaseUnavailableError("away")):
                with pytest.raises(DatabaseUnavailableError):
                    telemetry_recorder.record("search", "submit")
                assert BestEffortRecorder(telemetry_recorder).record("search", "submit") is None
            telemetry_events.none()
            telemetry_recorder.record("search", "submit")
            telemetry_events.one()
    """).assert_outcomes(passed=1)


class TestFailures:
    RECORDED = """
        @pytest.fixture
        def recorded(telemetry_events, telemetry_recorder):
            with event_context(user_id=7):
                telemetry_recorder.record("search", "submit", EventParameters(metadata={"n": 1},
                    private_metadata={"query": "mine"}))
                telemetry_recorder.record("shop.order", "submit")
            return telemetry_events
    """

    def test_list_what_was_recorded_instead(self, run_tests: RunTests) -> None:
        failures: dict[str, list[str]] = {
            'assert_recorded("search", "submit", metadata={"n": 2, "m": 1}, user_id=8)': [
                "search.submit was not recorded",
                "search.submit: metadata['n'] is 1.0, not 2",
                "search.submit: metadata has no 'm'",
                "search.submit: user_id is 7, not 8",
                "recorded, oldest first:",
                "search.submit user_id=7 metadata={'n': 1.0} private_metadata={'query': 'mine'}",
                "shop.order.submit user_id=7",
            ],
            'assert_recorded("chat", "submit")': ["chat.submit was not recorded"],
            'one("search", private_metadata={"query": "other"})': [
                "the event search differs",
                "search.submit: private_metadata['query'] is 'mine', not 'other'",
            ],
            "one()": ["expected exactly one event, got 2"],
            'one("chat", "submit")': ["expected exactly one event chat.submit, got 0"],
            "none()": ["expected no event, got 2"],
            'none("search")': ["expected no event search, got 1"],
            'none("Search")': ["telemetry.errors.InvalidNameError: feature: must be 2 to 64 ASCII letters"],
            'one("search", usre_id=7)': ["TypeError: usre_id is not a known attribute of events"],
        }
        code = "".join(
            f"""
        def test_number_{number}(recorded):
            recorded.{assertion}
    """
            for number, assertion in enumerate(failures)
        )
        result = run_tests(dedent(self.RECORDED) + dedent(code))
        result.assert_outcomes(failed=len(failures))
        of_test = failure_messages(result).split("_ test_number_")
        for number, lines in enumerate(failures.values()):
            for line in lines:
                assert line in of_test[number + 1]
        assert "raise AssertionError" not in result.stdout.str()  # the plugin is hidden from tracebacks
        assert "<TelemetryEvents: search.submit, shop.order.submit>" in result.stdout.str()

    @pytest.mark.parametrize(("mode", "hint"), [("off", True), ("on", False)])
    def test_say_that_nothing_was_recorded(
        self, run_tests: RunTests, monkeypatch: pytest.MonkeyPatch, mode: str, hint: bool
    ) -> None:
        monkeypatch.setenv("TELEMETRY_MODE", mode)
        result = run_tests("""
            def test_it(telemetry_events):
                telemetry_events.one()
        """)
        assert "nothing was recorded" in failure_messages(result)
        assert ("TELEMETRY_MODE is off in this environment" in failure_messages(result)) is hint


def test_a_gateway_behind_a_faulty_network(
    database: Database, migrated_url: str, run_tests: RunTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_DATABASE_URL", migrated_url)
    monkeypatch.setenv("TELEMETRY_EXPORT_MODE", "all")
    run_tests("""
        import time
        from export import ExporterSettings, ExportJobs

        def until(condition):
            end = time.monotonic() + 30
            while not condition():
                assert time.monotonic() < end
                time.sleep(0.02)

        @pytest.mark.telemetry_database
        def test_it(telemetry_gateway, telemetry_network):
            recorded = Recorder.from_url(URL, service_version="1").record("search", "submit")
            telemetry_network.inflict("reset")
            jobs = ExportJobs(ExporterSettings.load(
                database_url=URL, export_addr=f"http://{telemetry_network.address}", instance_id="i",
                export_interval="50ms", rpc_deadline="5s")).start()
            try:
                until(lambda: telemetry_network.faults["reset"])
                assert telemetry_gateway.received == []
                telemetry_gateway.script = in_turn(refuse("RESOURCE_EXHAUSTED"), acknowledge)
                telemetry_network.healthy.set()
                until(lambda: len(telemetry_gateway.received) == 2)
                assert telemetry_gateway.received == [recorded, recorded]
            finally:
                jobs.stop()
    """).assert_outcomes(passed=1)


def test_the_plugin_is_loaded_automatically_and_can_be_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PRELUDE + "def test_it(telemetry_events): telemetry_events.none()")
    for arguments in ((), ("-p", plugin.__name__)):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_conftest_can_load_the_plugin(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(f"pytest_plugins = [{plugin.__name__!r}]\n")
    pytester.makepyfile(f"{PRELUDE}def test_it(telemetry_events): telemetry_events.none()")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "recorders write nowhere" in done.stdout
    assert "1 passed" in done.stdout


def test_the_plugin_can_be_disabled(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(telemetry_events): pass")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", f"no:{plugin.__name__}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "fixture 'telemetry_events' not found" in done.stdout


def test_coverage_starts_before_the_plugin_imports_the_project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(telemetry_events): pass")
    command = [sys.executable, "-m", "pytest", "-p", plugin.__name__, "--cov=recorder.diversion", "--cov-report=term"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout
    assert "was never imported" not in done.stdout + done.stderr
    assert "previously imported" not in done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "diversion.py" in line)
    assert int(line.split()[-1].removesuffix("%")) >= 80  # its definitions, at the import


def test_the_wheel_declares_the_plugin() -> None:
    (entry,) = {
        (each.name, each.value)
        for each in importlib.metadata.entry_points(group="pytest11")
        if "telemetry" in each.name
    }
    assert entry == (plugin.__name__, plugin.__name__)
