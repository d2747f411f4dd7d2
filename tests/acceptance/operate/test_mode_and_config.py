"""Settings of an operator: the settings file, `telemetry mode` and `telemetry config show`."""

import json
from pathlib import Path

import pytest

from support.programs import Shell, wait_for_line
from support.recorders import make_recorder
from telemetry_runtime.settings_file import write_setting
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_testing import scripted_gateway


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.env"


@pytest.fixture
def shell(tmp_path: Path, file: Path) -> Shell:
    return Shell(tmp_path, {"TELEMETRY_SETTINGS_FILE": str(file), "TELEMETRY_EXPORT_MODE": "all"})


def test_the_mode_is_stored_for_every_program(shell: Shell, file: Path) -> None:
    assert shell.telemetry("mode", "on").code == 0  # creates the file
    assert shell.telemetry("db", "upgrade").code == 0
    done = shell.telemetry("mode", "local")
    assert done.code == 0, done.err
    assert "TELEMETRY_MODE=local in " in done.out
    assert "nothing is queued or sent" in done.out
    assert file.read_text() == "TELEMETRY_MODE=local\n"
    assert shell.telemetry("record", "search", "submit").code == 0
    status = json.loads(shell.telemetry("queue", "status", "--json").out)
    assert (status["pending"], status["nothing_leaves_because"]) == (0, "TELEMETRY_MODE is local")
    assert shell.telemetry("mode", "on").code == 0
    assert shell.telemetry("record", "search", "submit").code == 0
    assert json.loads(shell.telemetry("queue", "status", "--json").out)["pending"] == 1
    assert shell.telemetry("mode", "off").code == 0
    assert shell.telemetry("record", "search", "submit").code == 0  # not recorded, and not an error
    assert json.loads(shell.telemetry("queue", "status", "--json").out)["pending"] == 1


def test_a_running_exporter_obeys_the_current_mode(tmp_path: Path, file: Path, migrated_url: str) -> None:
    write_setting(file, "TELEMETRY_MODE", "on")
    environment = {
        "TELEMETRY_SETTINGS_FILE": str(file),
        "TELEMETRY_DATABASE_URL": migrated_url,
        "TELEMETRY_EXPORT_MODE": "all",
        "TELEMETRY_INSTANCE_ID": "instance",
        "TELEMETRY_GATEWAY_EXPORTER_EXPORT_INTERVAL": "200ms",
    }
    database = Database(create_database_engine(migrated_url))
    # A service that was not restarted continues to queue events.
    recorder = make_recorder(database)
    with scripted_gateway() as gateway:
        with Shell(tmp_path, environment).background("export", "run", "--addr", gateway.address) as exporter:
            wait_for_line(exporter, r'("outcome": ?"drained")')
            write_setting(file, "TELEMETRY_MODE", "off")
            wait_for_line(exporter, r'("outcome": ?"off")')
            recorder.record("search", "submit")
            for _ in range(3):
                wait_for_line(exporter, r'("outcome": ?"off")')
            assert (ExportQueue(database).counts().pending, gateway.streams) == (1, 0)
            file.write_text("TELEMETRY_MODE\n")
            wait_for_line(exporter, r'("outcome": ?"settings")')
            file.write_text("TELEMETRY_MODE=on\n")
            wait_for_line(exporter, r'("acked": ?1)')
        assert gateway.streams == 1
    database.close()


def test_show_prints_the_source_of_each_value(shell: Shell) -> None:
    shell.telemetry("mode", "local")
    facts = json.loads(shell.telemetry("mode", "show", "--json").out)
    assert (facts["telemetry_mode"], facts["telemetry_mode_from"]) == ("local", "file")
    assert (facts["export_mode"], facts["export_mode_from"]) == ("all", "environment")
    assert facts["opted_out_by"] is None
    shown = shell.telemetry("mode", "show", environment={"DO_NOT_TRACK": "1"})
    assert "DO_NOT_TRACK" in shown.out
    assert "settings.env" in shown.out


def test_the_environment_overrides_the_file_with_a_warning(shell: Shell, file: Path) -> None:
    done = shell.telemetry("mode", "off", environment={"TELEMETRY_MODE": "on"})
    assert done.code == 1
    assert "the environment sets TELEMETRY_MODE=on, which overrides the file" in done.err
    assert file.read_text() == "TELEMETRY_MODE=off\n"
    as_json = shell.telemetry("mode", "off", "--json", environment={"TELEMETRY_MODE": "on"})
    assert as_json.code == 1
    assert json.loads(as_json.out)["telemetry_mode"] == "on"


@pytest.mark.parametrize("where", ["environment", "file"])
def test_an_opt_out_overrides_every_mode(shell: Shell, file: Path, where: str) -> None:
    file.write_text("DO_NOT_TRACK=1\n" if where == "file" else "")
    environment = {"DO_NOT_TRACK": "1"} if where == "environment" else {}
    done = shell.telemetry("mode", "on", environment=environment)
    assert done.code == 0
    assert "nothing is exported, because DO_NOT_TRACK is set" in done.err
    facts = json.loads(shell.telemetry("mode", "show", "--json", environment=environment).out)
    assert (facts["opted_out_by"], facts["opted_out_from"]) == ("DO_NOT_TRACK", where)
    assert facts["nothing_leaves_because"] == "DO_NOT_TRACK is set"


def test_off_works_with_an_invalid_allowlist(shell: Shell) -> None:
    done = shell.telemetry("mode", "off", environment={"TELEMETRY_ALLOWLIST_FILE": "missing.toml"})
    assert done.code == 0, done.err


def test_a_missing_settings_file_is_reported_with_advice(shell: Shell) -> None:
    done = shell.telemetry("mode", "off", environment={"TELEMETRY_SETTINGS_FILE": ""})
    assert done.code == 2
    assert "TELEMETRY_SETTINGS_FILE: is not set" in done.err
    assert "set TELEMETRY_MODE=off there" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the file does not exist; create it with: telemetry mode on"),
        ("TELEMETRY_MODE off\n", "settings.env, line 1: must be of the form NAME=VALUE"),
    ],
)
def test_a_file_that_cannot_be_read_stops_every_command(
    shell: Shell, file: Path, content: str | None, message: str
) -> None:
    if content is not None:
        file.write_text(content)
        assert shell.telemetry("mode", "off").code == 2
        assert file.read_text() == content
    for command in (["queue", "status"], ["mode", "show"], ["config", "show"], ["record", "search", "submit"]):
        done = shell.telemetry(*command)
        assert done.code == 2, command
        assert message in done.err
        assert "Traceback" not in done.err


def test_config_show_prints_every_value_with_its_origin_and_masks_secrets(shell: Shell, file: Path) -> None:
    file.write_text("TELEMETRY_LICENSE_KEY=geheim-1\nTELEMETRY_INSTANCE_ID=me\n")
    environment = {"TELEMETRY_DATABASE_URL": "postgresql://user:geheim-2@host/name?sslpassword=geheim-3"}
    done = shell.telemetry("config", "show", "--json", "--addr", "https://gateway:443", environment=environment)
    assert done.code == 0, done.err
    assert "geheim" not in done.out + done.err
    found = {row["variable"]: row for row in map(json.loads, done.out.splitlines())}
    assert (found["TELEMETRY_LICENSE_KEY"]["value"], found["TELEMETRY_LICENSE_KEY"]["origin"]) == ("***", "file")
    url = found["TELEMETRY_DATABASE_URL"]
    assert (url["value"], url["origin"]) == ("postgresql://user:***@host/name?sslpassword=***", "environment")
    address = found["TELEMETRY_GATEWAY_EXPORTER_EXPORT_ADDR"]
    assert (address["value"], address["origin"], address["program"]) == ("https://gateway:443", "argument", "exporter")
    assert found["TELEMETRY_GATEWAY_LISTEN_ADDR"]["origin"] == "default"
    lines = shell.telemetry("config", "show", "--changed", environment={"COLUMNS": "80"}).out.splitlines()
    assert "TELEMETRY_INSTANCE_ID=me  # file" in lines
    assert not any(line.endswith("# default") for line in lines)


def test_config_show_warns_of_unknown_names(shell: Shell, file: Path) -> None:
    file.write_text("TELEMETRY_INSTANCE=me\n")
    done = shell.telemetry("config", "show", environment={"TELEMETRY_EXPORT_MOD": "all"})
    assert done.code == 0
    assert "TELEMETRY_EXPORT_MOD (environment) is not a known setting" in done.err
    assert "did you mean TELEMETRY_EXPORT_MODE?" in done.err
    assert "TELEMETRY_INSTANCE (file) is not a known setting" in done.err


def test_config_show_prints_valid_programs_despite_invalid_ones(shell: Shell, file: Path) -> None:
    file.write_text("")
    environment = {"TELEMETRY_GATEWAY_EXPORTER_EXPORT_BATCH_SIZE": "1"}
    done = shell.telemetry("config", "show", environment=environment)
    assert done.code == 2
    assert "TELEMETRY_GATEWAY_EXPORTER_EXPORT_BATCH_SIZE: input should be greater than or equal to 100" in done.err
    assert "TELEMETRY_GATEWAY_LISTEN_ADDR=127.0.0.1:10080  # default" in done.out
