"""What is installed: the base install records, and a missing extra is one line."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = {
    "orjson",
    "protobuf",
    "pydantic",
    "pydantic-settings",
    "python-dotenv",
    "sqlalchemy",
    "structlog",
    "uuid6",
}
EXTRAS = {"cli", "export", "gateway", "ingest", "admin", "postgres", "asyncio", "nats", "all", "dev", "bench"}
CLI = ("typer", "click", "rich", "alembic", "mako")
OPTIONAL = (
    *CLI,
    *("aiosqlite", "anyio", "apscheduler", "ariadne", "authlib", "cryptography", "google.rpc", "graphql", "greenlet"),
    *("grpc", "grpc_health", "grpc_reflection", "httpx2", "jinja2", "joserfc", "nats", "prometheus_client", "psycopg"),
    *("starlette", "uvicorn"),
)
# Hides packages that a smaller install does not have.
HIDE = """
import sys
hidden = set(sys.argv.pop(1).split(","))
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in hidden or name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
"""
RECORD = """
from recorder import BufferedRecorder, Recorder
from telemetry import EventParameters
from telemetry_store import create_tables
create_tables("sqlite:///telemetry.db")
recorder = Recorder.from_url("sqlite:///telemetry.db", service_version="1")
id = recorder.record("search.results", "submit", EventParameters(metadata={"n": 1}))
BufferedRecorder(recorder).close()
import sqlite3
from contextlib import closing
with closing(sqlite3.connect("telemetry.db")) as database:
    name, = database.execute("SELECT name FROM event_logs").fetchone()
    queued, = database.execute("SELECT id FROM telemetry_events_export_queue").fetchone()
print(name, queued == id)
print(*sorted({name.partition(".")[0] for name in sys.modules} & hidden))
"""
COMMAND = """
sys.argv[0] = "telemetry"
from telemetry_cli.command import main
main()
"""


def run(folder: Path, hidden: tuple[str, ...], code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", HIDE + code, ",".join(hidden), *arguments]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def command(folder: Path, without: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    hidden = OPTIONAL if without == "cli" else tuple(set(OPTIONAL) - set(CLI))
    return run(folder, hidden, COMMAND, *arguments)


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, capture_output=True, check=True, timeout=300)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(wheel.read(name)).items()


def test_the_base_install_needs_these_packages_alone(metadata: list[tuple[str, str]]) -> None:
    needed = [value for name, value in metadata if name == "Requires-Dist" and "extra ==" not in value]
    names = {value.partition(">")[0].partition("<")[0].partition("=")[0].strip() for value in needed}
    assert names == BASE


def test_the_extras_have_these_names(metadata: list[tuple[str, str]]) -> None:
    assert {value for name, value in metadata if name == "Provides-Extra"} == EXTRAS


def test_the_base_install_makes_tables_and_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEMETRY_EXPORT_MODE", "all")
    done = run(tmp_path, OPTIONAL, RECORD)
    assert (done.stdout.splitlines(), done.stderr) == (["search.results.submit True", ""], "")


def test_without_the_extra_cli_the_command_says_what_to_install(tmp_path: Path) -> None:
    done = command(tmp_path, "cli", "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: typer is not installed: pip install 'telemetry-recorder[cli]'\n"


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("export", "once", "--addr", "https://telemetry.example.com"), "export"),
        (("export", "run", "--addr", "https://telemetry.example.com"), "export"),
        (("cleanup",), "export"),
        (("doctor",), "export"),
        (("gateway", "serve"), "gateway"),
        (("gateway", "check"), "gateway"),
        (("gateway", "rejects", "replay"), "gateway"),
        (("ingest", "serve", "--anonymous"), "ingest"),
        (("admin", "serve"), "admin"),
    ],
)
def test_a_command_whose_extra_is_missing_says_what_to_install(
    tmp_path: Path, arguments: tuple[str, ...], extra: str
) -> None:
    done = command(tmp_path, "extras", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f" is not installed: pip install 'telemetry-recorder[{extra}]'\n")


@pytest.mark.parametrize("arguments", [("config", "show"), ("queue", "status", "--help"), ("ingest", "token")])
def test_commands_that_need_no_further_extra_work_without(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = command(tmp_path, "extras", *arguments)
    assert (done.returncode, done.stdout != "") == (0, True), done.stderr


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("from export import ExportJobs", "pip install 'telemetry-recorder[export]'"),
        ("from telemetry_gateway import GatewayServer", "pip install 'telemetry-recorder[gateway]'"),
        ("from telemetry_ingest import create_app", "pip install 'telemetry-recorder[ingest]'"),
        ("from telemetry_admin import admin_app", "pip install 'telemetry-recorder[admin]'"),
        ("from telemetry_testing import scripted_gateway", "pip install 'telemetry-recorder[export]'"),
        ("from telemetry_store import upgrade_database", "pip install 'telemetry-recorder[cli]'"),
        (
            "from telemetry_store import create_tables; create_tables('postgresql://localhost/shop')",
            "pip install 'telemetry-recorder[postgres]'",
        ),
    ],
)
def test_what_is_imported_without_its_extra_says_what_to_install(tmp_path: Path, code: str, problem: str) -> None:
    done = run(tmp_path, OPTIONAL, f"from telemetry import TelemetryError\n{code}")
    assert done.returncode == 1
    assert problem in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("option", ["--version", "-h", "--help"])
def test_version_and_help_are_answered(tmp_path: Path, option: str) -> None:
    done = command(tmp_path, "extras", option)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("0." if option == "--version" else "Record telemetry events") in done.stdout
