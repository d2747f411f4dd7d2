"""Open the queue that commands work on, from the settings."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from recorder.settings import RecorderSettings
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.queue_reading import QueueReading


class OpenQueue(NamedTuple):
    """An open queue.

    Attributes:
        queue: The operations of exporters on the queue.
        reading: The queries of operators on the queue.
        settings: The settings of the command.
    """

    queue: ExportQueue
    reading: QueueReading
    settings: RecorderSettings


@contextmanager
def open_queue(database_url: str | None, *, export_mode: str | None = None) -> Generator[OpenQueue]:
    """Open the database of the queue; close it when the block ends.

    Raises:
        InvalidSettingsError: A setting is invalid.
        RecorderError: The database cannot be used.
    """
    settings = RecorderSettings.load(database_url=database_url, export_mode=export_mode)
    database = Database(create_database_engine(settings.database_url))
    try:
        yield OpenQueue(ExportQueue(database), QueueReading(database), settings)
    finally:
        database.close()
