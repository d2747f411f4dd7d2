"""Looks at everything that recording and exporting need, for `telemetry doctor`. Changes nothing, sends no event."""

import enum
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from export.address import GatewayAddress
from export.credentials import token_source
from export.errors import CredentialsError, GatewayError
from export.gateway_client import GatewayClient
from export.settings import ExporterSettings
from telemetry import Allowlist, ExportPolicy
from telemetry.event import Clock, new_event_id, now_utc
from telemetry_runtime.certificate_faults import explain_rejection
from telemetry_runtime.settings import format_duration
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.errors import RecorderError
from telemetry_store.export_queue import ExportQueue, QueueCounts
from telemetry_store.export_runs import ExportRuns
from telemetry_store.schema_version import SCHEMA_VERSION, check_schema_version

_PATIENCE: Final = timedelta(seconds=10)
_EXPIRES_SOON: Final = timedelta(days=14)
_APPROVAL_ENDS_SOON: Final = timedelta(days=30)
_OLD: Final = timedelta(minutes=30)
_TOO_OLD: Final = timedelta(days=1)
_CLOCKS_DIFFER: Final = timedelta(seconds=5)
_CLOCKS_DIFFER_TOO_MUCH: Final = timedelta(minutes=1)
_LITTLE_SPACE: Final = 1024**3
_TOO_LITTLE_SPACE: Final = 100 * 1024**2

T = TypeVar("T")


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, and somebody should look."""
    FAIL = "fail"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        level: How bad it is.
        found: What was found; never a secret.
        advice: What to do; None where nothing is.
    """

    name: str
    level: Level
    found: str
    advice: str | None = None


def ok(name: str, found: str) -> Check:
    """Returns that all is well."""
    return Check(name, Level.OK, found)


def warn(name: str, found: str, advice: str) -> Check:
    """Returns that somebody should look."""
    return Check(name, Level.WARN, found, advice)


def fail(name: str, found: str, advice: str) -> Check:
    """Returns that something does not work."""
    return Check(name, Level.FAIL, found, advice)


def free_bytes(folder: Path) -> int:
    """Returns how much room is left on the disk of a folder, or where it would be."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def check_instance(
    settings: ExporterSettings, *, today: date, clock: Clock = now_utc, free: Callable[[Path], int] = free_bytes
) -> Iterator[Check]:
    """Yields one check after the other. Where nothing may leave, the gateway is not even called.

    Args:
        settings: The exporter's; they have been checked by having been made.
        today: The date that approvals hold on or not.
        clock: Tells the time.
        free: Tells how many bytes are free on a folder's disk.

    Raises:
        UnsupportedDatabaseError: The database URL is none that works.
    """
    policy = settings.export_policy()
    yield _mode(settings, policy)
    yield _allowlist(settings.allowlist(), today)
    database = Database(create_database_engine(settings.database_url, timeout=_PATIENCE))
    try:
        yield from _database(database, settings, policy, clock)
        if database.file is not None:
            yield _disk(free(database.file.resolve().parent))
    finally:
        database.close()
    yield from _gateway(settings, policy, clock)


def _mode(settings: ExporterSettings, policy: ExportPolicy) -> Check:
    if policy.obstacle is not None:
        return warn(
            "mode", f"nothing leaves: {policy.obstacle}", "change it if events are to leave; see: telemetry mode show"
        )
    if settings.export_addr is None:
        variable = settings.variable_of("export_addr")
        return warn("mode", f"{variable} is not set, so there is nowhere to export to", f"set {variable}")
    return ok("mode", f"events leave; TELEMETRY_EXPORT_MODE is {policy.export_mode}")


def _allowlist(allowlist: Allowlist, today: date) -> Check:
    expired = [entry for entry in allowlist.entries if not entry.is_valid_on(today)]
    soon = [
        entry
        for entry in allowlist.entries
        if entry.is_valid_on(today) and not entry.is_valid_on(today + _APPROVAL_ENDS_SOON)
    ]
    holding = f"{len(allowlist) - len(expired)} entries hold"
    if expired:
        return warn(
            "allowlist",
            f"{holding}, {len(expired)} expired: {expired[0].origin}",
            "renew the approval, or take the entry out",
        )
    if soon:
        until = min(entry.expires_on for entry in soon if entry.expires_on is not None)
        return warn(
            "allowlist",
            f"{holding}, {len(soon)} of them not for long: the first until {until}",
            "renew the approval in time",
        )
    return ok("allowlist", holding)


def _database(database: Database, settings: ExporterSettings, policy: ExportPolicy, clock: Clock) -> Iterator[Check]:
    if (file := database.missing_file) is not None:
        advice = "make it with: telemetry db upgrade; or name another in TELEMETRY_DATABASE_URL"
        yield fail("database", f"there is no file {file}", advice)
        return
    checks: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("database", lambda: _server(database, clock)),
        ("tables", lambda: _tables(database)),
        ("queue", lambda: _queue(database, settings, policy, clock)),
    )
    for name, look in checks:
        try:
            yield from look()
        except RecorderError as error:
            found, _, advice = str(error).partition("; ")
            yield fail(name, found, advice or "see that it runs, and that TELEMETRY_DATABASE_URL names it")
            return


def _server(database: Database, clock: Clock) -> Iterator[Check]:
    before = clock()
    report = database.run(lambda: _rolled_back(database, database.dialect.report))
    after = clock()
    if report.advice is None:
        yield ok("database", f"{report.found}, can be written")
    else:
        yield (warn if report.works else fail)("database", report.found, report.advice)
    if report.now is None:
        yield ok("clock", "the database has this machine's")
    else:
        yield _clock("the database's", report.now, before, after)
    if report.size is not None:
        size = f"{report.size / 1024**3:.1f} GiB"
        yield ok("disk", f"the database has {size}; its server's disk is not seen from here")


def _disk(free: int) -> Check:
    found = f"{free / 1024**3:.1f} GiB free beside the database"
    advice = "make room; a full disk stops recording"
    if free < _TOO_LITTLE_SPACE:
        return fail("disk", found, advice)
    return warn("disk", found, advice) if free < _LITTLE_SPACE else ok("disk", found)


def _clock(whose: str, theirs: datetime, before: datetime, after: datetime) -> Check:
    """Compares clocks: theirs was read at some moment between two of ours."""
    apart = max(before - theirs, theirs - after, timedelta())
    found = f"{apart.total_seconds():.1f} s from {whose}" if apart else f"agrees with {whose}"
    advice = "let NTP set both clocks: leases and times of events run by them"
    if apart > _CLOCKS_DIFFER_TOO_MUCH:
        return fail("clock", found, advice)
    return warn("clock", found, advice) if apart > _CLOCKS_DIFFER else ok("clock", found)


def _tables(database: Database) -> Iterator[Check]:
    check_schema_version(database)
    yield ok("tables", f"this code's version, {SCHEMA_VERSION}")


def _queue(database: Database, settings: ExporterSettings, policy: ExportPolicy, clock: Clock) -> Iterator[Check]:
    counts = ExportQueue(database, clock=clock).counts()
    yield _backlog(counts, settings, policy, clock())
    yield (
        warn("dead letters", f"{counts.dead}", "see why: telemetry dead list; then requeue or drop them")
        if counts.dead
        else ok("dead letters", "none")
    )
    runs = ExportRuns(database).latest(1)
    if not runs:
        yield ok("last export", "none yet")
        return
    run = runs[0]
    found = f"{run.outcome}, {_ago(clock() - run.last_at)} ago"
    if run.is_well:
        yield ok("last export", found)
    else:
        yield warn("last export", f"{found}: {run.problem}", "see docs/how-to/operate.md")


def _backlog(counts: QueueCounts, settings: ExporterSettings, policy: ExportPolicy, now: datetime) -> Check:
    if counts.oldest_pending is None:
        return ok("backlog", "nothing waits")
    age = now - counts.oldest_pending
    found = f"{counts.pending} wait, the oldest for {_ago(age)}"
    if policy.obstacle is not None or settings.export_addr is None:
        return warn("backlog", f"{found}, and nothing leaves", "nothing, while it is meant so; they are kept")
    advice = "see that an exporter runs (telemetry export run), and what it logs"
    if age > _TOO_OLD:
        return fail("backlog", found, advice)
    return warn("backlog", found, advice) if age > max(_OLD, settings.export_interval * 3) else ok("backlog", found)


def _ago(age: timedelta) -> str:
    return format_duration(timedelta(seconds=round(max(age.total_seconds(), 0))))


def _rolled_back(database: Database, work: Callable[[Connection], T]) -> T:
    # Before the tables are checked, so not by `Database.read`; and nothing is kept of it.
    with database.engine.connect() as connection, connection.begin() as transaction:
        try:
            return work(connection)
        finally:
            transaction.rollback()


def _gateway(settings: ExporterSettings, policy: ExportPolicy, clock: Clock) -> Iterator[Check]:
    address = settings.address
    # SECURITY: where nothing may leave, not even our name does.
    if policy.obstacle is not None or address is None:
        yield ok("gateway", "not called, because nothing leaves")
        return
    reached = _transport(address, settings, clock())
    yield reached
    credentials = _credentials(settings)
    yield credentials
    if Level.FAIL not in (reached.level, credentials.level):
        yield _answer(settings)


def _transport(address: GatewayAddress, settings: ExporterSettings, now: datetime) -> Check:
    try:
        with socket.create_connection((address.host, address.port), _PATIENCE.total_seconds()) as connection:
            if not address.secure:
                return ok("gateway", f"{address} is reached, in plain text")
            with _tls(settings).wrap_socket(connection, server_hostname=address.host) as encrypted:
                certificate: Any = encrypted.getpeercert()
                version = encrypted.version()
    except ssl.SSLCertVerificationError as error:
        fault = explain_rejection(error, settings.variable_of("tls_ca_file"))
        return fail("gateway", f"{address}: its certificate is not valid: {fault.problem}", fault.advice)
    except ssl.SSLError as error:
        problem = f"{address}: no TLS: {error.reason or type(error).__name__}"
        return fail("gateway", problem, "see that it speaks TLS, and whether it asks for a client certificate")
    except OSError as error:
        problem = f"{address} cannot be reached: {error.strerror or type(error).__name__}"
        return fail("gateway", problem, "see the address, the firewall and the gateway")
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    found = f"{address} is reached by {version}; its certificate holds for {(ends - now).days} days"
    return warn("gateway", found, "renew it there") if ends - now < _EXPIRES_SOON else ok("gateway", found)


def _tls(settings: ExporterSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if settings.tls_ca_file is None else str(settings.tls_ca_file))
    # Checks what gRPC, which sends the events, checks: Python 3.13 and later would reject what gRPC accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    if settings.tls_cert_file is not None:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")
    return context


def _credentials(settings: ExporterSettings) -> Check:
    tokens = token_source(settings)
    if tokens is None:
        return ok("credentials", "none are set")
    try:
        tokens.token()
    except CredentialsError as error:
        return fail("credentials", str(error), "see client id, secret and token URL")
    return ok("credentials", "a token is set" if settings.bearer_token is not None else "a token was obtained")


def _answer(settings: ExporterSettings) -> Check:
    """Opens a stream that says who we are, and sends nothing on it."""
    client = GatewayClient.from_settings(settings)
    try:
        for _ in client.open_stream(f"doctor-{new_event_id()}", [], deadline=_PATIENCE):
            pass
    except GatewayError as error:
        return fail("identity", str(error), "see identity and credentials; the gateway's log says more")
    finally:
        client.close()
    return ok("identity", "the gateway takes a stream of ours")
