"""Makes the names of files durable, as their bytes are."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Brings names that are new in a directory to the disk; syncing a file does not promise its name."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
