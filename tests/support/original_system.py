"""The tables of the original system, with rows, as they are before an upgrade."""

from sqlalchemy import Engine

# The tables that the original system creates on PostgreSQL, and similar ones on SQLite.
ORIGINAL = {
    "postgresql": [
        """CREATE TABLE event_logs (
            id bigserial PRIMARY KEY, name text NOT NULL, url text NOT NULL, user_id integer NOT NULL,
            anonymous_user_id text NOT NULL, source text NOT NULL, argument jsonb NOT NULL, version text NOT NULL,
            timestamp timestamptz NOT NULL, feature_flags jsonb, cohort_id date,
            public_argument jsonb DEFAULT '{}'::jsonb NOT NULL, first_source_url text, last_source_url text,
            referrer text, device_id text, insert_id text, billing_product_category text, billing_event_id text,
            legacy_extra text,
            CONSTRAINT event_logs_check_name_not_empty CHECK (name <> '')
        )""",
        "CREATE INDEX event_logs_name_timestamp ON event_logs (name, timestamp DESC)",
        """CREATE TABLE telemetry_events_export_queue (
            id text PRIMARY KEY, timestamp timestamptz NOT NULL, payload_pb bytea NOT NULL,
            exported_at timestamptz DEFAULT NULL
        )""",
    ],
    "sqlite": [
        """CREATE TABLE event_logs (
            id INTEGER PRIMARY KEY, name text NOT NULL, url text NOT NULL, user_id integer NOT NULL,
            anonymous_user_id text NOT NULL, source text NOT NULL, argument JSON NOT NULL, version text NOT NULL,
            timestamp DATETIME NOT NULL, legacy_extra text
        )""",
        """CREATE TABLE telemetry_events_export_queue (
            id text PRIMARY KEY, timestamp DATETIME NOT NULL, payload_pb BLOB NOT NULL, exported_at DATETIME
        )""",
    ],
}
OLD_ROW = "INSERT INTO event_logs (name, url, user_id, anonymous_user_id, source, argument, version, timestamp) VALUES "


def make_original(engine: Engine, payload: bytes, event_id: str) -> None:
    kind = engine.dialect.name
    place = "?" if kind == "sqlite" else "%s"
    with engine.begin() as connection:
        for statement in ORIGINAL[kind]:
            connection.exec_driver_sql(statement)
        # The last row violates a check constraint that the upgrade adds; the row is kept unchanged.
        for name in ("OldEvent", "OlderEvent"):
            connection.exec_driver_sql(f"{OLD_ROW} ('{name}', '', 0, '', 'WEB', '{{}}', '1', '2020-01-01 00:00:00')")
        connection.exec_driver_sql(
            "INSERT INTO telemetry_events_export_queue (id, timestamp, payload_pb) "
            f"VALUES ({place}, '2020-01-01 00:00:00.000000', {place})",
            (event_id, payload),
        )
