"""Recorders for tests, and functions to read what they stored."""

import json
from typing import Any

from sqlalchemy import select

from recorder import Recorder
from telemetry import Allowlist, ExportMode, ExportPolicy, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.event_logs import event_logs
from telemetry_store.export_queue import export_queue

EXPORT_ALL = ExportPolicy(export_mode=ExportMode(everything=True))


def make_recorder(
    database: Database, *, policy: ExportPolicy = EXPORT_ALL, allowlist: Allowlist | None = None, **options: Any
) -> Recorder:
    return Recorder.on_database(database, service_version="1.0", policy=policy, redactor=Redactor(allowlist), **options)


def logged(database: Database) -> list[dict[str, Any]]:
    """Return the rows of `event_logs`, in order of insertion."""
    with database.engine.connect() as connection:
        rows = connection.execute(select(event_logs).order_by(event_logs.c.id)).mappings().all()
    return [dict(row) for row in rows]


def queued(database: Database) -> dict[str, pb.Event]:
    """Return the events in the queue by id."""
    with database.engine.connect() as connection:
        rows = connection.execute(select(export_queue.c.id, export_queue.c.payload_pb)).all()
    return {str(row.id): pb.Event.FromString(row.payload_pb) for row in rows}


def stored_names(database: Database) -> tuple[list[str], list[str]]:
    """Return the names in `event_logs` and in the queue, sorted."""
    in_queue = [f"{event.feature}.{event.action}" for event in queued(database).values()]
    return sorted(row["name"] for row in logged(database)), sorted(in_queue)


def queue_as_text(database: Database) -> str:
    """Return the queue as text, to search it for private data."""
    return json.dumps([payload.hex() for payload in (event.SerializeToString() for event in queued(database).values())])
