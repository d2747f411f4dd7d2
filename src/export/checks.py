"""The checks of `telemetry doctor`: everything that recording and export depend on.

They change nothing and send no events.
"""

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

_TIMEOUT: Final = timedelta(seconds=10)
_CERTIFICATE_EXPIRY_WARN: Final = timedelta(days=14)
_APPROVAL_EXPIRY_WARN: Final = timedelta(days=30)
_BACKLOG_AGE_WARN: Final = timedelta(minutes=30)
_BACKLOG_AGE_FAIL: Final = timedelta(days=1)
_CLOCK_DIFFERENCE_WARN: Final = timedelta(seconds=5)
_CLOCK_DIFFERENCE_FAIL: Final = timedelta(minutes=1)
_FREE_SPACE_WARN: Final = 1024**3
_FREE_SPACE_FAIL: Final = 100 * 1024**2

T = TypeVar("T")


class Level(enum.Enum):
    """The result of a check."""

    OK = "ok"
    WARN = "warn"
    """It works, but needs attention."""
    FAIL = "fail"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result.

    Attributes:
        name: The checked thing.
        level: The result.
        found: What was found; never a secret.
        advice: What to do; None if no action is needed.
    """

    name: str
    level: Level
    found: str
    advice: str | None = None


def ok(name: str, found: str) -> Check:
    """Return a passed check."""
    return Check(name, Level.OK, found)


def warn(name: str, found: str, advice: str) -> Check:
    """Return a warning."""
    return Check(name, Level.WARN, found, advice)


def fail(name: str, found: str, advice: str) -> Check:
    """Return a failed check."""
    return Check(name, Level.FAIL, found, advice)


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder. The folder need not exist yet."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def check_instance(
    settings: ExporterSettings, *, today: date, clock: Clock = now_utc, free: Callable[[Path], int] = free_bytes
) -> Iterator[Check]:
    """Yield the checks one by one. The gateway is called only if events may be exported.

    Args:
        settings: The exporter's settings, already validated.
        today: The date for which approvals are checked.
        clock: Returns the current time.
        free: Returns the free bytes on a folder's disk.

    Raises:
        UnsupportedDatabaseError: The database URL is not supported.
    """
    policy = settings.export_policy()
    yield _mode(settings, policy)
    yield _allowlist(settings.allowlist(), today)
    database = Database(create_database_engine(settings.database_url, timeout=_TIMEOUT))
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
            "mode",
            f"nothing is exported: {policy.obstacle}",
            "change the mode if events should be exported; see: telemetry mode show",
        )
    if settings.export_addr is None:
        variable = settings.variable_of("export_addr")
        return warn("mode", f"{variable} is not set, so nothing is exported", f"set {variable}")
    return ok("mode", f"events are exported; TELEMETRY_EXPORT_MODE is {policy.export_mode}")


def _allowlist(allowlist: Allowlist, today: date) -> Check:
    expired = [entry for entry in allowlist.entries if not entry.is_valid_on(today)]
    soon = [
        entry
        for entry in allowlist.entries
        if entry.is_valid_on(today) and not entry.is_valid_on(today + _APPROVAL_EXPIRY_WARN)
    ]
    valid = f"valid entries: {len(allowlist) - len(expired)}"
    if expired:
        return warn(
            "allowlist",
            f"{valid}, expired: {len(expired)}, the first at {expired[0].origin}",
            "renew the approval, or remove the entry",
        )
    if soon:
        until = min(entry.expires_on for entry in soon if entry.expires_on is not None)
        return warn(
            "allowlist",
            f"{valid}, of which {len(soon)} expire soon, the first after {until}",
            "renew the approval before it expires",
        )
    return ok("allowlist", valid)


def _database(database: Database, settings: ExporterSettings, policy: ExportPolicy, clock: Clock) -> Iterator[Check]:
    if (file := database.missing_file) is not None:
        advice = "create it with: telemetry db upgrade; or set TELEMETRY_DATABASE_URL to an existing file"
        yield fail("database", f"there is no file {file}", advice)
        return
    checks: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("database", lambda: _server(database, clock)),
        ("tables", lambda: _tables(database)),
        ("queue", lambda: _queue(database, settings, policy, clock)),
    )
    for name, check in checks:
        try:
            yield from check()
        except RecorderError as error:
            found, _, advice = str(error).partition("; ")
            yield fail(name, found, advice or "check that it runs, and that TELEMETRY_DATABASE_URL is its address")
            return


def _server(database: Database, clock: Clock) -> Iterator[Check]:
    before = clock()
    report = database.run(lambda: _rolled_back(database, database.dialect.report))
    after = clock()
    if report.advice is None:
        yield ok("database", f"{report.found}, writable")
    else:
        yield (warn if report.works else fail)("database", report.found, report.advice)
    if report.now is None:
        yield ok("clock", "the database uses the clock of this machine")
    else:
        yield _clock("the database's clock", report.now, before, after)
    if report.size is not None:
        size = f"{report.size / 1024**3:.1f} GiB"
        yield ok("disk", f"the database takes {size}; the free space on its server cannot be checked from here")


def _disk(free: int) -> Check:
    found = f"{free / 1024**3:.1f} GiB free on the disk of the database"
    advice = "free some space; a full disk stops recording"
    if free < _FREE_SPACE_FAIL:
        return fail("disk", found, advice)
    return warn("disk", found, advice) if free < _FREE_SPACE_WARN else ok("disk", found)


def _clock(name: str, reading: datetime, before: datetime, after: datetime) -> Check:
    """Compare another clock, read between the moments `before` and `after` of this one."""
    difference = max(before - reading, reading - after, timedelta())
    found = f"differs from {name} by {difference.total_seconds():.1f} s" if difference else f"agrees with {name}"
    advice = "set both clocks with NTP: leases and event times depend on them"
    if difference > _CLOCK_DIFFERENCE_FAIL:
        return fail("clock", found, advice)
    return warn("clock", found, advice) if difference > _CLOCK_DIFFERENCE_WARN else ok("clock", found)


def _tables(database: Database) -> Iterator[Check]:
    check_schema_version(database)
    yield ok("tables", f"version {SCHEMA_VERSION}, as this code needs")


def _queue(database: Database, settings: ExporterSettings, policy: ExportPolicy, clock: Clock) -> Iterator[Check]:
    counts = ExportQueue(database, clock=clock).counts()
    yield _backlog(counts, settings, policy, clock())
    yield (
        warn("dead letters", f"{counts.dead}", "find the reasons with: telemetry dead list; then requeue or drop them")
        if counts.dead
        else ok("dead letters", "0")
    )
    runs = ExportRuns(database).latest(1)
    if not runs:
        yield ok("last export", "has not run yet")
        return
    run = runs[0]
    found = f"{run.outcome}, {_format_age(clock() - run.last_at)} ago"
    if run.is_well:
        yield ok("last export", found)
    else:
        yield warn("last export", f"{found}: {run.problem}", "see docs/how-to/operate.md")


def _backlog(counts: QueueCounts, settings: ExporterSettings, policy: ExportPolicy, now: datetime) -> Check:
    if counts.oldest_pending is None:
        return ok("backlog", "0 pending")
    age = now - counts.oldest_pending
    found = f"{counts.pending} pending, the oldest recorded {_format_age(age)} ago"
    if policy.obstacle is not None or settings.export_addr is None:
        return warn(
            "backlog", f"{found}; nothing is exported", "no action needed if export is off on purpose; events are kept"
        )
    advice = "check that an exporter runs (telemetry export run), and read its log"
    if age > _BACKLOG_AGE_FAIL:
        return fail("backlog", found, advice)
    return (
        warn("backlog", found, advice)
        if age > max(_BACKLOG_AGE_WARN, settings.export_interval * 3)
        else ok("backlog", found)
    )


def _format_age(age: timedelta) -> str:
    return format_duration(timedelta(seconds=round(max(age.total_seconds(), 0))))


def _rolled_back(database: Database, work: Callable[[Connection], T]) -> T:
    # Not by `Database.read`, because the tables have not been checked yet. Rolled back, so that nothing is changed.
    with database.engine.connect() as connection, connection.begin() as transaction:
        try:
            return work(connection)
        finally:
            transaction.rollback()


def _gateway(settings: ExporterSettings, policy: ExportPolicy, clock: Clock) -> Iterator[Check]:
    address = settings.address
    # SECURITY: if nothing may be exported, the gateway is not called, so that not even the identity is sent.
    if policy.obstacle is not None or address is None:
        yield ok("gateway", "not called, because nothing is exported")
        return
    connection = _transport(address, settings, clock())
    yield connection
    credentials = _credentials(settings)
    yield credentials
    if Level.FAIL not in (connection.level, credentials.level):
        yield _identity(settings)


def _transport(address: GatewayAddress, settings: ExporterSettings, now: datetime) -> Check:
    try:
        with socket.create_connection((address.host, address.port), _TIMEOUT.total_seconds()) as connection:
            if not address.secure:
                return ok("gateway", f"{address} is reachable, in plain text")
            with _tls(settings).wrap_socket(connection, server_hostname=address.host) as encrypted:
                certificate: Any = encrypted.getpeercert()
                version = encrypted.version()
    except ssl.SSLCertVerificationError as error:
        fault = explain_rejection(error, settings.variable_of("tls_ca_file"))
        return fail("gateway", f"{address}: its certificate is not valid: {fault.problem}", fault.advice)
    except ssl.SSLError as error:
        problem = f"{address}: the TLS handshake failed: {error.reason or type(error).__name__}"
        return fail("gateway", problem, "check that it uses TLS, and whether it requires a client certificate")
    except OSError as error:
        problem = f"{address} cannot be reached: {error.strerror or type(error).__name__}"
        return fail("gateway", problem, "check the address, the firewall and that the gateway runs")
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    found = f"{address} is reachable by {version}; its certificate expires in {(ends - now).days} days"
    return (
        warn("gateway", found, "renew the certificate on the gateway")
        if ends - now < _CERTIFICATE_EXPIRY_WARN
        else ok("gateway", found)
    )


def _tls(settings: ExporterSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if settings.tls_ca_file is None else str(settings.tls_ca_file))
    # As strict as gRPC, which sends the events: Python 3.13 and later would reject certificates that gRPC accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    if settings.tls_cert_file is not None:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")
    return context


def _credentials(settings: ExporterSettings) -> Check:
    tokens = token_source(settings)
    if tokens is None:
        return ok("credentials", "not set")
    try:
        tokens.token()
    except CredentialsError as error:
        return fail("credentials", str(error), "check the client id, the client secret and the token URL")
    return ok("credentials", "a token is set" if settings.bearer_token is not None else "a token was obtained")


def _identity(settings: ExporterSettings) -> Check:
    """Open a stream, which sends the identity, and send no events on it."""
    client = GatewayClient.from_settings(settings)
    try:
        for _ in client.open_stream(f"doctor-{new_event_id()}", [], deadline=_TIMEOUT):
            pass
    except GatewayError as error:
        return fail("identity", str(error), "check the identity and the credentials; the gateway's log has details")
    finally:
        client.close()
    return ok("identity", "accepted by the gateway")
