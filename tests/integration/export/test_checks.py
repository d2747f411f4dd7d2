from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from export import ExporterSettings
from export.checks import Check, Level, check_instance, free_bytes
from support.gateway_authority import running_authority
from support.gateway_certificates import CertificateAuthority
from support.gateway_server import RunningGateway, running_gateway
from support.recorders import make_recorder
from telemetry import NewEvent
from telemetry.event import new_event_id
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue
from telemetry_store.export_runs import ExportRuns
from telemetry_store.pass_report import PassReport

MINUTE = timedelta(minutes=1)
GIB = 1024**3


def look(url: str, *, ahead: timedelta = timedelta(), free: int = 10 * GIB, **settings: Any) -> dict[str, Check]:
    made = ExporterSettings.load(database_url=url, **{"export_mode": "all", "instance_id": "i", **settings})
    found = list(
        check_instance(made, today=date(2026, 3, 1), clock=lambda: datetime.now(UTC) + ahead, free=lambda _folder: free)
    )
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def levels(found: Mapping[str, Check], *besides: Level) -> set[str]:
    return {name for name, check in found.items() if check.level in besides}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path) as running:
        yield running


def test_a_healthy_instance_has_no_warnings_or_failures(migrated_url: str, gateway: RunningGateway) -> None:
    found = look(migrated_url, export_addr=f"http://{gateway.address}")
    assert levels(found, Level.WARN, Level.FAIL) == set()
    assert found["identity"].found == "accepted by the gateway"
    assert {"mode", "allowlist", "database", "tables", "clock", "disk", "backlog", "dead letters", "last export",
            "gateway", "credentials", "identity"} == set(found)  # fmt: skip
    assert gateway.published() == []


@pytest.mark.parametrize("settings", [{"do_not_track": "1"}, {"export_mode": "none"}, {"telemetry_mode": "local"}])
def test_the_gateway_is_not_called_if_nothing_may_be_exported(migrated_url: str, settings: dict[str, Any]) -> None:
    # Nothing listens there: a call would be reported as a failure.
    found = look(migrated_url, export_addr="http://127.0.0.1:9", **settings)
    assert found["gateway"].found == "not called, because nothing is exported"
    assert found["mode"].level is Level.WARN
    assert not {"credentials", "identity"} & set(found)


def test_a_missing_address_is_a_warning(migrated_url: str) -> None:
    found = look(migrated_url)
    assert (found["mode"].level, "is not set, so nothing is exported" in found["mode"].found) == (Level.WARN, True)


@contextmanager
def tls_gateway(
    folder: Path, *, key_identifiers: bool = True, **settings: Any
) -> Iterator[tuple[CertificateAuthority, str]]:
    authority = CertificateAuthority(folder, key_identifiers=key_identifiers)
    certificate, key = authority.issue("gateway")
    with running_gateway(folder, tls_cert_file=certificate, tls_key_file=key, **settings) as running:
        yield authority, f"https://{running.address}"


def test_a_certificate_is_checked_and_its_expiry_is_reported(migrated_url: str, tmp_path: Path) -> None:
    with tls_gateway(tmp_path) as (authority, address):
        found = look(migrated_url, export_addr=address, tls_ca_file=authority.file)
        assert "its certificate expires in 0 days" in found["gateway"].found
        assert levels(found, Level.WARN, Level.FAIL) == {"gateway"}
        unknown = look(migrated_url, export_addr=address)
        assert unknown["gateway"].level is Level.FAIL
        assert "its certificate is not valid: its authority is not trusted" in unknown["gateway"].found
        assert "TELEMETRY_GATEWAY_EXPORTER_TLS_CA_FILE" in str(unknown["gateway"].advice)
        assert "identity" not in unknown


@pytest.mark.interpreter
def test_a_gateways_certificate_is_checked_as_grpc_does_on_each_interpreter(migrated_url: str, tmp_path: Path) -> None:
    with tls_gateway(tmp_path, key_identifiers=False) as (authority, address):
        found = look(migrated_url, export_addr=address, tls_ca_file=authority.file)
    assert (found["gateway"].level, found["identity"].level) == (Level.WARN, Level.OK)


def test_a_gateway_without_tls_differs_from_an_unreachable_one(migrated_url: str, gateway: RunningGateway) -> None:
    plain = look(migrated_url, export_addr=f"https://{gateway.address}")["gateway"]
    assert (plain.level, "the TLS handshake failed" in plain.found) == (Level.FAIL, True)
    away = look(migrated_url, export_addr="http://127.0.0.1:9")["gateway"]
    assert away.found == "http://127.0.0.1:9 cannot be reached: Connection refused"


def test_a_client_certificate_is_sent_if_it_is_required(migrated_url: str, tmp_path: Path) -> None:
    with tls_gateway(tmp_path, tls_client_ca_file=CertificateAuthority(tmp_path).file):
        pass  # this creates the files
    authority = CertificateAuthority(tmp_path, "clients")
    certificate, key = authority.issue("client")
    with tls_gateway(tmp_path, tls_client_ca_file=authority.file) as (server, address):
        found = look(
            migrated_url, export_addr=address, tls_ca_file=server.file, tls_cert_file=certificate, tls_key_file=key
        )
        assert found["identity"].level is Level.OK
        without = look(migrated_url, export_addr=address, tls_ca_file=server.file)
        assert levels(without, Level.FAIL) & {"gateway", "identity"}


def test_credentials_are_checked(migrated_url: str, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    with tls_gateway(tmp_path) as (server, address), running_authority(authority.issue("tokens")) as tokens:
        settings: dict[str, Any] = {
            "export_addr": address, "tls_ca_file": server.file, "instance_id": None, "service_id": "service",
        }  # fmt: skip
        refused = look(
            migrated_url, **settings, oauth_token_url=f"{tokens.url}/token", oauth_client_id="wrong",
            oauth_client_secret="CLIENT-SECRET",
        )  # fmt: skip
        assert refused["credentials"].level is Level.FAIL
        assert "identity" not in refused
        assert "CLIENT-SECRET" not in str(refused)
        static = look(migrated_url, **settings, bearer_token="TOKEN-5")
        assert static["credentials"].found == "a token is set"
        # This gateway does not accept tokens of services.
        assert (static["identity"].level, "TOKEN-5" in str(static)) == (Level.FAIL, False)


def test_clocks_are_compared(migrated_url: str, database_kind: str) -> None:
    if database_kind == "sqlite":
        assert look(migrated_url, ahead=MINUTE * 5)["clock"].found == "the database uses the clock of this machine"
        return
    assert look(migrated_url)["clock"].found == "agrees with the database's clock"
    assert look(migrated_url, ahead=timedelta(seconds=30))["clock"].level is Level.WARN
    behind = look(migrated_url, ahead=-MINUTE * 5)["clock"]
    assert behind.level is Level.FAIL
    assert "differs from the database's clock by" in behind.found


def test_settings_of_the_database_that_risk_events_are_reported(migrated_url: str, database_kind: str) -> None:
    if database_kind == "sqlite":
        assert "journal mode wal, writable" in look(migrated_url)["database"].found
        file = migrated_url.removeprefix("sqlite:///")
        read_only_file = look(f"sqlite:///file:{file}?mode=ro&uri=true")["database"]
        assert read_only_file.level is Level.FAIL
        assert "the database is read-only" in read_only_file.found
        return
    url = make_url(migrated_url)

    def looked(option: str) -> Check:
        return look(url.update_query_dict({"options": f"-c{option}"}).render_as_string(hide_password=False))["database"]

    asynchronous = looked("synchronous_commit=off")
    assert (asynchronous.level, "synchronous_commit is off" in asynchronous.found) == (Level.WARN, True)
    read_only = looked("default_transaction_read_only=on")
    assert (read_only.level, "read-only" in read_only.found) == (Level.FAIL, True)


def test_the_result_for_a_backlog_depends_on_its_age(migrated_url: str, database: Database) -> None:
    address: dict[str, Any] = {"export_addr": "http://127.0.0.1:9"}
    make_recorder(database).record("search", "submit")
    assert look(migrated_url, **address)["backlog"].level is Level.OK
    assert look(migrated_url, ahead=MINUTE * 40, **address)["backlog"].level is Level.WARN
    assert look(migrated_url, ahead=MINUTE * 40, export_interval="1h", **address)["backlog"].level is Level.OK
    old = look(migrated_url, ahead=timedelta(days=2), **address)["backlog"]
    assert old.level is Level.FAIL
    assert old.found.startswith("1 pending, the oldest recorded 48h")
    held = look(migrated_url, ahead=timedelta(days=2), export_mode="none")["backlog"]
    assert held.level is Level.WARN
    assert held.found.endswith("; nothing is exported")


def test_dead_letters_and_the_last_export_are_reported(migrated_url: str, database: Database) -> None:
    queue = ExportQueue(database)
    ids = make_recorder(database).batch_record([NewEvent("search", "submit")] * 2)
    queue.set_aside(queue.lease(2, MINUTE), dict.fromkeys(ids, "x: y"))
    found = look(migrated_url)
    assert (found["dead letters"].level, found["dead letters"].found) == (Level.WARN, "2")
    now = datetime.now(UTC)
    runs = ExportRuns(database)
    runs.add(
        PassReport(request_id=new_event_id(), started_at=now, last_at=now, outcome="outage", problem="UNAVAILABLE")
    )
    last = look(migrated_url, ahead=MINUTE)["last export"]
    assert last.level is Level.WARN
    assert last.found.startswith("outage, 1m")
    assert last.found.endswith("ago: UNAVAILABLE")
    runs.add(PassReport(request_id=new_event_id(), started_at=now, last_at=now + MINUTE, outcome="drained", leased=1))
    assert look(migrated_url, ahead=MINUTE)["last export"].level is Level.OK


@pytest.mark.parametrize(
    ("expires", "level", "message"),
    [
        ("expires_on = 2026-02-28", Level.WARN, "valid entries: 0, expired: 1, the first at "),
        ("expires_on = 2026-03-15", Level.WARN, "valid entries: 1, of which 1 expire soon, the first after 2026-03-15"),
        ("expires_on = 2027-03-15", Level.OK, "valid entries: 1"),
        ("", Level.OK, "valid entries: 1"),
    ],
)
def test_expiring_approvals_are_reported(
    migrated_url: str, tmp_path: Path, expires: str, level: Level, message: str
) -> None:
    path = tmp_path / "allowlist.toml"
    path.write_text(
        '[[event]]\nfeature = "search"\nkeys = { a = "b" }\napproved_by = "me"\napproved_on = 2026-01-31\n'
        f"{expires}\n"
    )
    found = look(migrated_url, allowlist_file=path)["allowlist"]
    assert found.level is level
    assert message in found.found


def test_missing_tables_are_reported_with_the_command_that_creates_them(empty_url: str, database_kind: str) -> None:
    if database_kind == "sqlite":
        Path(empty_url.removeprefix("sqlite:///")).touch()
    tables = look(empty_url)["tables"]
    assert tables == Check(
        "tables", Level.FAIL, "the database has no telemetry tables yet", "run: telemetry db upgrade"
    )


def test_a_missing_file_is_reported_and_not_created(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/mistyped.db", f"sqlite:///{tmp_path}/missing/telemetry.db"):
        found = look(url)
        assert (found["database"].level, "tables" in found) == (Level.FAIL, False)
    missing = look(f"sqlite:///{tmp_path}/mistyped.db")["database"]
    assert missing.found == f"there is no file {tmp_path}/mistyped.db"
    assert "telemetry db upgrade" in str(missing.advice)
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_database_is_reported(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/missing/telemetry.db", "postgresql://127.0.0.1:9/telemetry"):
        found = look(url)
        assert found["database"].level is Level.FAIL
        assert "tables" not in found
        assert "gateway" in found  # the other checks still run


def test_free_space_is_measured_for_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "missing" / "below") == pytest.approx(free_bytes(tmp_path), rel=0.5)


@pytest.mark.parametrize(("free", "level"), [(10 * GIB, Level.OK), (GIB // 2, Level.WARN), (50 * 1024**2, Level.FAIL)])
def test_free_space_is_checked_for_a_database_file(
    migrated_url: str, database_kind: str, free: int, level: Level
) -> None:
    disk = look(migrated_url, free=free)["disk"]
    assert disk.level is (level if database_kind == "sqlite" else Level.OK)
