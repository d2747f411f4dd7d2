"""Opens what commands work on, from the settings."""

from collections.abc import Generator
from contextlib import contextmanager

from recorder.database import Database, create_database_engine
from recorder.export_queue import ExportQueue
from recorder.settings import RecorderSettings


@contextmanager
def open_queue(
    database_url: str | None, *, export_mode: str | None = None
) -> Generator[tuple[ExportQueue, RecorderSettings]]:
    """Opens the queue's database; closes it when the block ends.

    Raises:
        InvalidSettingsError: A setting breaks its rule.
        RecorderError: The database cannot be used.
    """
    settings = RecorderSettings.load(database_url=database_url, export_mode=export_mode)
    database = Database(create_database_engine(settings.database_url))
    try:
        yield ExportQueue(database), settings
    finally:
        database.close()
