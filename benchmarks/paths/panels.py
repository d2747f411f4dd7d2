"""The admin page's panels over 90 days of events, compared with the limit of a second and with a bare count."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from measure import Comparison, interleave, seconds
from stores import Stores, postgres_connection, sqlite_connection

from telemetry_admin.time_range import RANGES
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.event_log_panels import EventLogPanels

GOAL = 1.0
MAY_TAKE = 1.0
FEATURE = "feature-a"


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    rows = 1_000_000 if full else 200_000
    longest = RANGES[-1]
    now = datetime.now(UTC)
    for kind in ("sqlite", "postgresql"):
        url = stores.fresh(kind)
        fill(kind, url, rows, since=now - longest.length, until=now)
        database = Database(create_database_engine(url))
        panels = EventLogPanels(database)
        spans = longest.spans(now, longest.events_step)
        panel_calls: dict[str, Callable[[], object]] = {
            "events over time": lambda panels=panels, spans=spans: panels.events(spans),
            "events of a feature": lambda panels=panels, spans=spans: panels.events(spans, FEATURE),
            "people by day": lambda panels=panels, spans=spans: panels.people(spans),
            "names of events": lambda panels=panels: panels.names(),
        }
        for name, call in panel_calls.items():
            cases = {
                "ours": lambda call=call: seconds(call),
                "count(*)": lambda database=database: seconds(lambda: count(database)),
            }
            figures = {**interleave(cases, 5), "floor": MAY_TAKE}
            yield Comparison(
                f"{name}, {rows:,} rows, {kind}", "s", figures, GOAL, notes=["floor: what a panel may take"]
            )
        database.close()


def count(database: Database) -> int:
    statement = "SELECT count(*) FROM event_logs WHERE timestamp > '2000-01-01'"
    return int(database.read(lambda connection: connection.exec_driver_sql(statement).scalar_one()))


# 70 names, of which few are frequent; 2,000 people with user ids and 5,000 without; JSON as wide as usual.
_FILL = """
    INSERT INTO event_logs
        (name, url, user_id, anonymous_user_id, source, argument, public_argument, version, timestamp)
    SELECT
        'feature-' || {letter}(97 + (i % 9973 * 7919 % 100) * (i % 9973 * 7919 % 100) / 1000)
            || '.action-' || {letter}(97 + i % 9973 * 104 % 7),
        '', CASE WHEN i % 9973 * 31 % 3000 < 2000 THEN i % 9973 * 31 % 3000 ELSE 0 END,
        'anonymous-' || (i % 9973 * 7 % 5000) || '-4be1-9b3f-26a1c2', 'BACKEND',
        '{{"query": "how to make tea", "language": "en", "telemetry.privateMetadata.exportable": false}}',
        '{{"results": 12, "durationMs": 41.5, "telemetry.event.exportable": true}}', '1.4.0',
        {moment}
    FROM {series}
"""


def fill(kind: str, url: str, rows: int, *, since: datetime, until: datetime) -> None:
    begin, step = since.timestamp(), (until - since) / timedelta(seconds=1) / rows
    if kind == "sqlite":
        sqlite = sqlite_connection(url)
        moment = f"strftime('%Y-%m-%d %H:%M:%f', {begin} + i * {step}, 'unixepoch') || '000'"
        series = f"(WITH RECURSIVE s (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s LIMIT {rows}) SELECT i FROM s)"
        sqlite.execute(_FILL.format(letter="char", moment=moment, series=series))
        sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sqlite.close()
        return
    postgres: Any = postgres_connection(url)
    moment, series = f"to_timestamp({begin} + i * {step})", f"generate_series(0, {rows - 1}) AS s (i)"
    postgres.execute(_FILL.format(letter="chr", moment=moment, series=series))
    postgres.execute("VACUUM ANALYZE event_logs")
    postgres.close()
