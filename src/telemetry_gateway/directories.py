"""Make new and renamed files durable."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Sync a directory, so that new file names in it are durable. Syncing a file does not guarantee its name."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
