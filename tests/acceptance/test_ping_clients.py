"""Published clients that ping, run as their users run them, against a running service and a real gateway behind it."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from scarf import ScarfEventLogger

from support.events import CANARY
from support.npm import npm, npm_packages
from support.programs import Shell, wait_for_line
from support.recorders import logged, queue_as_text
from telemetry_pings import BackgroundEventLogger, EventLogger
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "examples" / "collection.toml"
SCARF_LIKE = ROOT / "tests" / "support" / "scarf_like.sh"
ALLOWLIST = """
[[event]]
feature = "shop.cli"
keys = { version = "When a version can be dropped" }
approved_by = "test"
approved_on = 2026-01-31
"""


@pytest.fixture
def shell(migrated_url: str, tmp_path: Path) -> Shell:
    (tmp_path / "allowlist.toml").write_text(ALLOWLIST)
    return Shell(
        tmp_path,
        {
            "TELEMETRY_DATABASE_URL": migrated_url,
            "TELEMETRY_EXPORT_MODE": "all",
            "TELEMETRY_ALLOWLIST_FILE": "allowlist.toml",
            "TELEMETRY_INSTANCE_ID": "instance-1",
            "TELEMETRY_INGEST_COLLECTION_FILE": str(PACKAGES),
        },
    )


@pytest.fixture
def url(shell: Shell) -> Iterator[str]:
    with shell.ingest() as url:
        yield url


@pytest.fixture
def kept(migrated_url: str) -> Iterator["Kept"]:
    opened = Database(create_database_engine(migrated_url))
    yield Kept(opened)
    opened.close()


class Kept:
    """What the service stored."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __call__(self) -> list[tuple[str, dict[str, Any]]]:
        """Returns name and private metadata of each event, in order."""
        return [
            (
                row["name"],
                {key: value for key, value in row["argument"].items() if not key.startswith("telemetry.private")},
            )
            for row in logged(self.database)
        ]


def curl(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("curl") or pytest.skip("no curl: install it")
    return subprocess.run(
        [program, "--silent", "--show-error", "--max-time", "60", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
        env={**os.environ, **(environment or {})},
    )


def test_scarfs_python_client_records(url: str, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = ScarfEventLogger(f"{url}/shop-cli/")
    assert logger.log_event({"command": "build", "version": "1.4", "details": {"channel": "beta", "n": 1}, "who": "me"})
    assert logger.log_event({})
    assert logger.log_event({"command": ["a", 1], "version": 2})
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert not logger.log_event({"command": "never"})
    logger.session.close()
    assert kept() == [
        ("shop.cli.run", {"command": "build", "version": "1.4", "details.channel": "beta"}),
        ("shop.cli.run", {}),
        ("shop.cli.run", {"command": '["a",1]', "version": "2"}),
    ]


def test_a_script_with_the_shell_client_of_scarf_keeps_its_exit_code(url: str, kept: Kept, tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text(f". {SCARF_LIKE}\necho working\nexit 3\n")
    bash = shutil.which("bash") or pytest.skip("no bash: install it")

    def run(**environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [bash, str(script)],
            env={**os.environ, "SCARF_BASE_URL": f"{url}/installer", **environment},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    # A response body would be printed on the terminal of the user. Clients do not encode the version.
    silence = (3, "working\n", "")
    assert run(SCARF_PACKAGE_VERSION="1.2.3-rc.1/(x)=100%") == silence
    assert run(SCARF_PACKAGE_VERSION="no", SCARF_ANALYTICS="FALSE") == silence
    # HTTP has no place for it, so the server refuses it before the service sees it.
    assert run(SCARF_PACKAGE_VERSION="gr\u00fcn") == silence
    ((name, variables),) = kept()
    assert name == "shop.installer.end"
    assert variables["platform"] == os.uname().sysname
    assert variables["exit_code"] == "3"
    assert variables["version"] == "1.2.3-rc.1/(x)=100%"
    assert variables["elapsed_time"].isdecimal()


def test_curl_records_by_path_segments_and_parameters(url: str, kept: Kept) -> None:
    path = f"{url}/packages/java/hot%2Fspot/amd64/linux/21"
    for arguments in (
        (path,),
        ("-X", "POST", f"{path}/"),
        ("-d", '{"version": "body", "os": "body"}', f"{path}?os=query&who=me"),
        ("--http1.0", path),
    ):
        done = curl("-i", *arguments)
        status, *headers = done.stdout.splitlines()
        assert status.split(" ")[1:] == ["204", "No", "Content"]
        assert headers[-1] == ""  # no body
        assert done.stderr == ""
    expected = {"language": "java", "engine": "hot/spot", "arch": "amd64", "os": "linux", "version": "21"}
    assert kept() == [("agent.jvm.install", expected)] * 4


def test_a_post_with_neither_length_nor_encoding_has_no_body(url: str, kept: Kept) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for number in range(2):  # on one connection
            target = f"/shop-cli?version={number}"
            connection.sendall(f"POST {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 204 ")
    assert kept() == [("shop.cli.run", {"version": str(number)}) for number in range(2)]


def install_with_scarf(folder: Path, url: str, package: dict[str, Any], **environment: str) -> str:
    """Runs the real install script of `@scarf/scarf` in a project; returns what npm printed."""
    modules = folder / "node_modules"
    shutil.copytree(npm_packages("scarf") / "@scarf", modules / "@scarf")
    library = {"name": "scarfed-lib", "version": "1.2.3", "dependencies": {"@scarf/scarf": "1.4.0"}}
    (modules / "scarfed-lib").mkdir()
    (modules / "scarfed-lib" / "package.json").write_text(json.dumps(library))
    (folder / "package.json").write_text(json.dumps({"version": "2.0.0", "private": True, **package}))
    (folder / "tmp").mkdir()
    done = subprocess.run(
        [npm(), "rebuild", "--foreground-scripts"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "SCARF_LOCAL_PORT": url.rpartition(":")[2],
            "SCARF_VERBOSE": "true",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout + done.stderr


def test_scarfs_npm_client_records_an_install(url: str, kept: Kept, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    package = {"name": f"secret-{CANARY.lower()}", "dependencies": {"scarfed-lib": "1.2.3"}}
    printed = install_with_scarf(folder, url, package)
    assert "Response status: 204" in printed
    ((name, variables),) = kept()
    assert name == "shop.npm.install"
    assert variables["dependencyInfo.parent.name"] == "scarfed-lib"
    assert variables["dependencyInfo.parent.version"] == "1.2.3"
    assert variables["rawPlatform"] == sys.platform
    assert set(variables) == {
        "rawPlatform",
        "rawArch",
        "nodeVersion",
        "dependencyInfo.parent.name",
        "dependencyInfo.parent.version",
    }


def test_a_body_that_scarfs_npm_client_cuts_is_kept_as_far_as_it_goes(url: str, kept: Kept, tmp_path: Path) -> None:
    # Its Content-Length counts characters, so a name that is not ASCII cuts the body's end.
    package = {"name": "gr\u00f6\u00dfe-\u65e5\u672c", "scarfSettings": {"skipTraversal": True}}
    printed = install_with_scarf(tmp_path / "project", url, package)
    assert "Response status: 204" in printed
    ((_, variables),) = kept()
    assert variables["dependencyInfo.parent.name"] == "gr\u00f6\u00dfe-\u65e5\u672c"
    assert variables["rawPlatform"] == sys.platform
    # What was left over on the connection was no request, and the service goes on.
    curl(f"{url}/shop-cli")
    assert len(kept()) == 2


@pytest.mark.parametrize("opt_out", ["SCARF_ANALYTICS=false", "SCARF_NO_ANALYTICS=true", "DO_NOT_TRACK=1"])
def test_scarfs_npm_client_takes_the_no_that_ours_takes(opt_out: str, tmp_path: Path) -> None:
    name, _, value = opt_out.partition("=")
    package = {"name": "app", "dependencies": {"scarfed-lib": "1.2.3"}}
    # It would speak to a port that is closed, and say so. Before that it runs `npm ls` with a time limit of its script.
    printed = ""
    for attempt in range(5):
        (folder := tmp_path / str(attempt)).mkdir()
        printed = install_with_scarf(folder, "http://127.0.0.1:1", package, **{name: value})
        if "error from npm -ls" not in printed:
            break
    assert "User has opted out" in printed
    assert not EventLogger("http://127.0.0.1:1", environ={name: value}).log_event({})


def test_our_own_loggers_record(url: str, kept: Kept) -> None:
    assert EventLogger(f"{url}/shop-cli", 60).log_event({"version": "1", "details": {"channel": "beta"}})
    assert EventLogger(f"{url}/shop-cli/", 60, style="query").log_event({"version": "2 \u00fc&=", "command": True})
    background = BackgroundEventLogger(EventLogger(f"{url}/packages/python/c/amd64/linux/3.11", 60, style="query"))
    assert background.log_event({}, once=True)
    assert background.flush(60)
    assert kept() == [
        ("shop.cli.run", {"version": "1", "details.channel": "beta"}),
        ("shop.cli.run", {"version": "2 \u00fc&=", "command": "true"}),
        (
            "agent.jvm.install",
            {"language": "python", "engine": "c", "arch": "amd64", "os": "linux", "version": "3.11"},
        ),
    ]


def test_of_a_ping_only_what_the_allowlist_allows_leaves(shell: Shell, url: str, kept: Kept) -> None:
    assert ScarfEventLogger(f"{url}/shop-cli").log_event(
        {"command": CANARY, "version": "1.4", "details": {"channel": CANARY}, "undeclared": CANARY}
    )
    curl("-A", CANARY, "-H", f"X-Sourcegraph-Actor-Anonymous-UID: {CANARY}", f"{url}/installer?version={CANARY}")
    curl(f"{url}/unknown/path/{CANARY}")
    assert kept() == [
        ("shop.cli.run", {"command": CANARY, "version": "1.4", "details.channel": CANARY}),
        ("shop.installer.end", {"version": CANARY}),
    ]
    assert CANARY.encode().hex() not in queue_as_text(kept.database)
    with shell.gateway() as gateway:
        sent = shell.telemetry("export", "once", "--addr", gateway)
        assert sent.code == 0, sent.err
    published = (shell.folder / "telemetry-events.jsonl").read_text()
    assert CANARY not in published
    events = [json.loads(line)["message"]["event"] for line in published.splitlines()]
    private = [(event["feature"], event["parameters"].get("privateMetadata")) for event in events]
    assert sorted(private, key=str) == [("shop.cli", {"version": "1.4"}), ("shop.installer", None)]
    assert {event["source"]["client"]["name"] for event in events} == {"shop-cli", "installer"}


def test_no_address_is_kept_or_logged(shell: Shell, kept: Kept) -> None:
    with shell.background("ingest", "serve", "--listen", "127.0.0.1:0") as process:
        address = wait_for_line(process, r"listening on (\S+)")
        with socket.create_connection((address.split(":")[0], int(address.split(":")[1])), timeout=60) as connection:
            own = connection.getsockname()[1]
            connection.sendall(b"POST /shop-cli?version=1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 204 ")
            connection.sendall(b"no request at all\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    stored = str(logged(kept.database)) + queue_as_text(kept.database)
    for trace in ("127.0.0.1", "203.0.113.7", str(own)):
        assert trace not in stored
        assert trace not in log
    assert "shop-cli" not in log  # nor what was pinged


def test_what_cannot_be_stored_is_not_answered_204(url: str, kept: Kept) -> None:
    assert requests.post(f"{url}/shop-cli?version=1", timeout=60).status_code == 204
    with kept.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE event_logs RENAME TO event_logs_away")
    answers = [requests.post(f"{url}/shop-cli?version={number}", timeout=60) for number in range(3)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(503, b"")] * 3
    with pytest.raises(requests.HTTPError):
        ScarfEventLogger(f"{url}/shop-cli").log_event({"version": "lost"})
    with kept.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE event_logs_away RENAME TO event_logs")
    assert requests.post(f"{url}/shop-cli?version=2", timeout=60).status_code == 204
    assert kept() == [("shop.cli.run", {"version": "1"}), ("shop.cli.run", {"version": "2"})]


def test_too_much_is_refused(shell: Shell, kept: Kept) -> None:
    shell.environment |= {"TELEMETRY_INGEST_REQUESTS_PER_SECOND": "0.001", "TELEMETRY_INGEST_BURST": "1h"}
    with shell.ingest() as url:
        host = url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("POST", "/shop-cli", body=b"x" * 65_537)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (413, b"")
        connection.close()
        statuses = [requests.get(f"{url}/shop-cli", timeout=60) for _ in range(5)]
        assert [answer.status_code for answer in statuses] == [204, 204, 429, 429, 429]
        assert int(statuses[-1].headers["Retry-After"]) > 0
    assert len(kept()) == 2


def test_the_events_of_many_clients_at_a_time_are_all_there(shell: Shell, kept: Kept) -> None:
    shell.environment["TELEMETRY_INGEST_REQUESTS_PER_SECOND"] = "0"
    packages = PACKAGES.read_text().replace('"/packages/{language}', '"/packages/{language}')
    (shell.folder / "packages.toml").write_text(packages)
    with shell.ingest("--collection-file", "packages.toml") as url:
        load = [sys.executable, str(ROOT / "benchmarks" / "http_load.py"), url.removeprefix("http://"), "32", "1000"]
        facts = json.loads(subprocess.run(load, capture_output=True, check=True, timeout=100).stdout)
    assert facts["statuses"] == {"204": 1000}
    versions = [variables["version"] for _, variables in kept()]
    assert sorted(versions, key=int) == [str(number) for number in range(1000)]
