"""The tables and their databases: `event_logs`, the export queue, its ledger and runs, audit, migrations.

Names are imported lazily, when they are first used.
"""

from typing import TYPE_CHECKING

from telemetry_runtime.lazy_face import load_lazily

if TYPE_CHECKING:
    from telemetry_store.autogenerate import include_object
    from telemetry_store.database import Database
    from telemetry_store.empty_tables import create_tables
    from telemetry_store.engine import create_database_engine
    from telemetry_store.export_queue import ExportQueue
    from telemetry_store.migrations import upgrade_database
    from telemetry_store.queue_reading import QueueReading
else:
    __getattr__ = load_lazily(
        __name__,
        {
            "Database": "database",
            "ExportQueue": "export_queue",
            "QueueReading": "queue_reading",
            "create_database_engine": "engine",
            "create_tables": "empty_tables",
            "include_object": "autogenerate",
            "upgrade_database": "migrations",
        },
        extra="cli",  # Alembic
    )

__all__ = [
    "Database",
    "ExportQueue",
    "QueueReading",
    "create_database_engine",
    "create_tables",
    "include_object",
    "upgrade_database",
]
