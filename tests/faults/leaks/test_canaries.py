"""Secrets in every private place are found in `event_logs` and nowhere else."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import make_url

from support.canaries import count_canaries, count_canaries_in_files, decoded_rejects
from support.canary_recording import bad, good
from support.gateway_certificates import CertificateAuthority
from support.ledger import until
from support.ports import free_port
from support.recorders import make_recorder
from support.recording_proxy import RecordingProxy
from telemetry import TelemetryError
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

CANARIES = int(os.environ.get("TELEMETRY_TEST_CANARIES", "400"))
"""The least number of canaries for each database; `make faults` raises it."""
PER_EVENT = 25
HERE = Path(__file__).parents[2] / "support"

# The command line with the most verbose logging of every library.
DEBUG_LOGS = "import logging; logging.basicConfig(level=logging.DEBUG); from telemetry_cli.main import main; main()"
LICENSE = "CANARY-license-000001"
TOKEN = "CANARY-token-000001"
WRONG_TOKEN = "CANARY-token-000002"
ALLOWLIST = """
[[event]]
feature = "assistant.chat"
action = "submit"
keys = { allowed = "to check that the search finds canaries" }
approved_by = "privacy"
approved_on = 2026-01-31
"""


class Scene:
    """A folder and an environment in which programs run."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        (folder / "allowlist.toml").write_text(ALLOWLIST)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")}
        self.environment = {
            **kept,
            "PYTHONPATH": str(HERE.parent),
            "GRPC_VERBOSITY": "DEBUG",
            "COLUMNS": "300",
            "TELEMETRY_DATABASE_URL": url,
            "TELEMETRY_EXPORT_MODE": "all",
            "TELEMETRY_ALLOWLIST_FILE": "allowlist.toml",
            "TELEMETRY_GATEWAY_SINK_FILE": "published.jsonl",
            "TELEMETRY_GATEWAY_DEDUPLICATION_FILE": "window.db",
            "TELEMETRY_GATEWAY_REJECTS_FILE": "rejects.jsonl",
        }

    def run(self, name: str, *command: str, environment: dict[str, str] | None = None, expect: int = 0) -> str:
        """Run a program, write its output to `<name>.log`, and return it."""
        done = subprocess.run(
            [sys.executable, *command], cwd=self.folder, env={**self.environment, **(environment or {})}, timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        (self.folder / f"{name}.log").write_bytes(done.stdout)
        assert done.returncode == expect, done.stdout[-3_000:].decode()
        return done.stdout.decode()

    def export(self, name: str, address: str, environment: dict[str, str], *, expect: int = 0) -> str:
        command = ("-c", DEBUG_LOGS, "export", "once", "--addr", address)
        return self.run(name, *command, environment=environment, expect=expect)

    @contextmanager
    def gateway(self, **environment: str) -> Iterator[str]:
        """Run a gateway until the block ends; yield its address."""
        log = self.folder / "gateway.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", DEBUG_LOGS, "gateway", "serve", "--listen", "127.0.0.1:0"],
                cwd=self.folder, env={**self.environment, **environment}, stdout=file, stderr=file,
            )  # fmt: skip
        try:
            until(lambda: b"listening on" in log.read_bytes(), 60, lambda: "the gateway does not start")
            yield re.findall(r"listening on (\S+)", log.read_text())[0]
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def scene(migrated_url: str, tmp_path: Path) -> Scene:
    url = make_url(migrated_url)
    if url.get_backend_name() == "postgresql":  # a server that trusts local connections ignores the password
        url = url.set(password="CANARY-password-000000")
    return Scene(tmp_path, url.render_as_string(hide_password=False))


@pytest.mark.timeout(240 + CANARIES // 20)
def test_private_data_is_nowhere_else(scene: Scene, database: Database) -> None:
    metrics_at = f"127.0.0.1:{free_port()}"
    with scene.gateway(
        TELEMETRY_GATEWAY_SINK_ROTATE_BYTES="200000", TELEMETRY_GATEWAY_METRICS_ADDR=metrics_at
    ) as address:
        proxy = RecordingProxy(int(address.rpartition(":")[2]))
        recording = (str(HERE / "canary_recording.py"), scene.environment["TELEMETRY_DATABASE_URL"])
        output = scene.run("recorder", *recording, str(CANARIES // PER_EVENT), "False")
        made = int(output.splitlines()[-1].split()[1])
        instance = {"TELEMETRY_LICENSE_KEY": LICENSE, "TELEMETRY_INSTANCE_ID": "i"}
        assert "drained" in scene.export("exporter", f"http://{proxy.address}", instance)
        metrics = httpx2.get(f"http://{metrics_at}/metrics", timeout=30).text
        scene.run("operator", "-c", DEBUG_LOGS, "queue", "status")
        scene.run("operator2", "-c", DEBUG_LOGS, "exported", "list", "--json")
    proxy.close()

    kept = _rows(database, "event_logs")
    assert made >= CANARIES
    assert {"private", "key", "marketing", "allowed"} <= set(kept)  # the search finds canaries
    assert "telemetry_gateway_events_total" in metrics
    leaks = {
        "queue": _rows(database, "telemetry_events_export_queue"),
        "wire": count_canaries(proxy.kept()),
        "metrics": count_canaries(metrics),
        **count_canaries_in_files(file for file in scene.folder.iterdir() if not file.name.startswith("telemetry.db")),
    }
    rejected, streams = decoded_rejects(scene.folder / "rejects.jsonl")
    leaks["rejected events"] = count_canaries(rejected)
    print(f"{made} canaries, {sum(kept.values())} in event_logs; elsewhere: {leaks}")
    # By the wire contract the gateway receives and publishes the license key; the allowlist allows one key.
    assert count_canaries(streams) == {"license": 1}
    for place in ("wire", *(name for name in leaks if name.startswith("published"))):
        leaks[place].pop("license", None)
    assert leaks.pop("wire") == {"allowed": 1}
    assert leaks.pop("queue") == {"allowed": 1}
    assert leaks.pop("operator2.log") == {"allowed": 1}  # lists the events that have left
    assert sum((leaks.pop(name) for name in list(leaks) if name.startswith("published")), Counter()) == {"allowed": 1}
    assert {place: canaries for place, canaries in leaks.items() if canaries} == {}


@pytest.mark.timeout(240 + CANARIES // 20)
@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_the_bytes_of_a_database_without_event_logs(scene: Scene) -> None:
    recording = (str(HERE / "canary_recording.py"), scene.environment["TELEMETRY_DATABASE_URL"])
    reader = sqlite3.connect(scene.folder / "telemetry.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event_logs").fetchone()  # prevents a checkpoint of the WAL
    scene.run("recorder", *recording, str(CANARIES // PER_EVENT), "True")
    files = [file for file in scene.folder.iterdir() if file.name.startswith("telemetry.db")]
    assert {file.name for file in files} == {"telemetry.db", "telemetry.db-wal", "telemetry.db-shm"}
    assert any(b"search.results" in file.read_bytes() for file in files)
    leaks = sum(count_canaries_in_files(files).values(), Counter[str]())
    reader.close()
    assert set(leaks) == {"allowed"}


def test_tokens_are_never_logged(scene: Scene) -> None:
    authority = CertificateAuthority(scene.folder)
    certificate, key = authority.issue("gateway")
    (scene.folder / "tokens.toml").write_text(f'billing = "{TOKEN}"\n')
    tls = {"TELEMETRY_GATEWAY_TLS_CERT_FILE": str(certificate), "TELEMETRY_GATEWAY_TLS_KEY_FILE": str(key)}
    with scene.gateway(TELEMETRY_GATEWAY_SERVICE_TOKENS_FILE="tokens.toml", **tls) as at:
        recording = (str(HERE / "canary_recording.py"), scene.environment["TELEMETRY_DATABASE_URL"])
        scene.run("recorder", *recording, "1", "False")
        service = {"TELEMETRY_SERVICE_ID": "billing", "TELEMETRY_GATEWAY_EXPORTER_TLS_CA_FILE": str(authority.file)}
        token = "TELEMETRY_GATEWAY_EXPORTER_BEARER_TOKEN"
        refused = scene.export("refused", f"https://{at}", {**service, token: WRONG_TOKEN}, expect=1)
        assert "refused" in refused
        assert "drained" in scene.export("exporter", f"https://{at}", {**service, token: TOKEN})
        # A token is rejected if it would be sent in plain text, and the error does not quote it.
        scene.export("plain", "http://127.0.0.1:1", {**service, token: TOKEN}, expect=2)
    (scene.folder / "tokens.toml").unlink()
    leaks: dict[str, Any] = count_canaries_in_files(
        file for file in scene.folder.iterdir() if file.suffix in (".log", ".jsonl")
    )
    window = count_canaries_in_files(scene.folder.glob("window.db*"))
    allowed = {"published.jsonl": {"allowed": 1}}
    assert {**leaks, **window} == allowed


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traces_contain_nothing_of_events(database: Database) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("service")
    recorder = make_recorder(database)
    for event in (good(), *bad()):
        with contextlib.suppress(TelemetryError), tracer.start_as_current_span("request"):
            recorder.record_event(event)
    recorder.close()
    finished = spans.get_finished_spans()
    assert sum(span.status.is_ok is False for span in finished) > 5  # each with the text and traceback of its error
    assert "exception.stacktrace" in finished[-1].to_json()
    assert sum((count_canaries(span.to_json()) for span in finished), Counter[str]()) == {}
    assert set(_rows(database, "event_logs")) == {"private", "key", "marketing"}


def test_the_search_can_fail(tmp_path: Path) -> None:
    (tmp_path / "some.log").write_text('{"error": "CANARY-private-000007"}')
    assert count_canaries_in_files(tmp_path.iterdir()) == {"some.log": {"private": 1}}


def _rows(database: Database, table: str) -> Counter[str]:
    rows = database.read(lambda connection: connection.exec_driver_sql(f"SELECT * FROM {table}").all())
    every = Counter[str]()
    for row in rows:
        for value in row:
            every += count_canaries(bytes(value) if isinstance(value, bytes | memoryview) else str(value))
    return every


@pytest.fixture
def database(scene: Scene) -> Iterator[Database]:
    opened = Database(create_database_engine(scene.environment["TELEMETRY_DATABASE_URL"]))
    yield opened
    opened.close()
