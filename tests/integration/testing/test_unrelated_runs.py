"""The plugin in unrelated pytest runs: it is installed with the recorder, and loaded in every run."""

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_telemetry import plugin
from pytest_telemetry.ownership import is_ours

pytest_plugins = ["pytester"]

LOADED = """
    import sys

    def loaded():
        ours = ("telemetry", "recorder", "export", "telemetry_store", "telemetry_runtime", "telemetry_testing")
        return sorted({*ours, "sqlalchemy", "google.protobuf", "structlog", "grpc", "pydantic"} & set(sys.modules))
"""


def run_pytest(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run pytest as in a project that has installed the recorder."""
    command = [sys.executable, "-m", "pytest", "-p", plugin.__name__, "-p", "no:cacheprovider", *arguments]
    environment = dict(os.environ) if path is None else {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def write(path: Path, code: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(code))


def test_a_run_without_telemetry_loads_nothing_of_ours(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(support=dedent(LOADED))
    pytester.makepyfile("""
        from support import loaded

        def test_it():
            assert loaded() == []
    """)
    done = run_pytest("-p", "no:cov")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "telemetry: recorders write nowhere, except in tests marked telemetry_database" in done.stdout
    pytester.makeini("[pytest]\ntelemetry_database = true\ntelemetry_allowlist_file = missing.toml\n")
    done = run_pytest("-p", "no:cov")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_recorder_writes_nowhere_however_it_is_imported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_late():
            import recorder
            recorder.Recorder.from_url("sqlite:///telemetry.db", service_version="1").record("in", "test")

        def test_again():
            import importlib
            import recorder.diversion
            module = recorder.diversion
            assert module.__loader__ is module.__spec__.loader
            assert not type(module.__loader__).__module__.startswith("pytest_telemetry")
            importlib.reload(module)
            assert type(module.current_diversion()).__name__ == "Nowhere"
    """)
    early = run_pytest("-p", "recorder")  # pytest imports it before the plugin begins
    late = run_pytest()
    for done in (early, late):
        assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert not Path("telemetry.db").exists()


def test_the_end_of_a_run_leaves_nothing_behind(pytester: pytest.Pytester) -> None:
    """A program may run pytest in its own process, and record afterwards."""
    pytester.makepyfile(
        test_it="import recorder.diversion\n\ndef test_it(): assert recorder.diversion.current_diversion()"
    )
    code = f"""
        import sys, pytest
        assert pytest.main(["-q", "-p", "no:cacheprovider", "-p", {plugin.__name__!r}, "test_it.py"]) == 0
        import recorder.diversion
        assert recorder.diversion.current_diversion() is None
        assert [each for each in sys.meta_path if type(each).__module__.startswith("pytest_telemetry")] == []
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "file"), [("telemetry", "telemetry/__init__.py"), ("recorder", "recorder.py")])
def test_the_plugin_is_off_if_a_name_is_a_package_of_the_project(
    pytester: pytest.Pytester, name: str, file: str
) -> None:
    place = pytester.path / "theirs"
    write(place / file, "MINE = 1")
    pytester.makepyfile(f"""
        import pytest

        def test_their_package():
            import {name}
            assert {name}.MINE

        @pytest.mark.telemetry_database
        def test_marked():
            pass

        def test_events(telemetry_events):
            pass

        def test_gateway(telemetry_gateway):
            pass
    """)
    done = run_pytest("--strict-markers", path=place)
    assert "2 passed, 2 errors" in done.stdout, done.stdout + done.stderr
    reason = f"because `{name}` is imported from {place / file}, not from telemetry-recorder"
    lines = [line.removeprefix("E").strip() for line in done.stdout.splitlines()]
    assert lines.count(f"telemetry: disabled, {reason}") == 1
    assert f"the fixture telemetry_events is disabled, {reason}" in lines
    assert f"the fixture telemetry_gateway is disabled, {reason}" in lines
    assert "recorders write nowhere" not in done.stdout


def test_a_folder_without_a_package_in_it_is_not_ours(tmp_path: Path) -> None:
    namespace = ModuleSpec("recorder", None, is_package=True)
    assert not is_ours(namespace)
    namespace.submodule_search_locations = [str(tmp_path)]
    assert not is_ours(namespace)
    assert is_ours(find_spec("recorder.diversion"))


def test_the_plugin_is_off_if_a_name_is_a_stub(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys, types\nsys.modules['telemetry'] = types.ModuleType('telemetry')\n")
    pytester.makepyfile("def test_it(): pass")
    done = run_pytest()
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert "telemetry: disabled, because `telemetry` is not found, not from telemetry-recorder" in done.stdout


def test_a_projects_module_of_the_same_name_is_loaded_unchanged(pytester: pytest.Pytester) -> None:
    place = pytester.path / "theirs"
    write(place / "recorder" / "__init__.py", "")
    write(place / "recorder" / "diversion.py", "MINE = 1")
    pytester.makepyfile("""
        def test_it():
            from recorder import diversion
            assert diversion.MINE
    """)
    done = run_pytest(path=place)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("telemetry: disabled") == 1


def test_a_fixture_that_lacks_grpc_says_what_to_install(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys\nsys.modules['grpc'] = None\n")
    pytester.makepyfile("def test_it(telemetry_gateway): pass")
    done = run_pytest()
    line = "the fixture telemetry_gateway needs gRPC: pip install 'telemetry-recorder[export]'"
    assert line in [each.removeprefix("E").strip() for each in done.stdout.splitlines()], done.stdout
