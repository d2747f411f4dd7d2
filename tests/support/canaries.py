"""Canaries: unique secrets, and the search for them."""

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PREFIX = "CANARY-"
# All canaries have the same prefix, so one pattern finds all of them.
_CANARY = re.compile(rb"CANARY-([a-z]+)-[0-9]{6}")


class Canaries:
    """Creates canaries; each names the place where it was put.

    Attributes:
        made: The number of canaries.
    """

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, place: str) -> str:
        """Return a new canary for a place, which is a name in lower case."""
        self.made += 1
        return f"{PREFIX}{place}-{self.made:06d}"


def count_canaries(data: bytes | str) -> Counter[str]:
    """Return the number of canaries in bytes or text, by the place where they were put."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return Counter(place.decode() for place in _CANARY.findall(raw))


def count_canaries_in_files(files: Iterable[Path]) -> dict[str, Counter[str]]:
    """Return the canaries in files, by file name; files without canaries are omitted."""
    counts = {
        file.name: count_canaries(gzip.decompress(data) if file.suffix == ".gz" else data)
        for file, data in _read(files)
    }
    return {name: canaries for name, canaries in counts.items() if canaries}


def _read(files: Iterable[Path]) -> list[tuple[Path, bytes]]:
    return [(file, file.read_bytes()) for file in files if file.is_file()]


def decoded_rejects(file: Path) -> tuple[bytes, bytes]:
    """Return the decoded events and the decoded stream metadata in a gateway's file of rejected events."""
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    events = [base64.b64decode(line["event"]) for line in lines]
    streams = [base64.b64decode(line["metadata"]) for line in lines]
    return b"\n".join(events), b"\n".join(streams)
