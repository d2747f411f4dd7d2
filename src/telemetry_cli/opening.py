"""Opens what commands work on, from the settings."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from recorder.settings import RecorderSettings
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.queue_reading import QueueReading


class OpenQueue(NamedTuple):
    """The queue's database, open.

    Attributes:
        queue: The queue as exporters use it.
        reading: The queue as people look at it.
        settings: What the command was told.
    """

    queue: ExportQueue
    reading: QueueReading
    settings: RecorderSettings


@contextmanager
def open_queue(database_url: str | None, *, export_mode: str | None = None) -> Generator[OpenQueue]:
    """Opens the queue's database; closes it when the block ends.

    Raises:
        InvalidSettingsError: A setting breaks its rule.
        RecorderError: The database cannot be used.
    """
    settings = RecorderSettings.load(database_url=database_url, export_mode=export_mode)
    database = Database(create_database_engine(settings.database_url))
    try:
        yield OpenQueue(ExportQueue(database), QueueReading(database), settings)
    finally:
        database.close()
