"""Secrets that can be told apart, and the search for them."""

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PREFIX = "CANARY-"
# One prefix and a number: a search for all of them, whatever their number, is a search for one pattern.
_CANARY = re.compile(rb"CANARY-([a-z]+)-[0-9]{6}")


class Canaries:
    """Makes canaries; each says where it was put.

    Attributes:
        made: How many there are.
    """

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, place: str) -> str:
        """Return a new one for a place, named by small letters."""
        self.made += 1
        return f"{PREFIX}{place}-{self.made:06d}"


def found(data: bytes | str) -> Counter[str]:
    """Return how many there are in bytes or a text, by the place where they were put."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return Counter(place.decode() for place in _CANARY.findall(raw))


def found_in_files(files: Iterable[Path]) -> dict[str, Counter[str]]:
    """Return what is in files, as bytes, by their names; files without any are left out."""
    sought = {file.name: found(gzip.decompress(data) if file.suffix == ".gz" else data) for file, data in _read(files)}
    return {name: canaries for name, canaries in sought.items() if canaries}


def _read(files: Iterable[Path]) -> list[tuple[Path, bytes]]:
    return [(file, file.read_bytes()) for file in files if file.is_file()]


def decoded_rejects(file: Path) -> tuple[bytes, bytes]:
    """Return what a gateway's rejects file says of events and of streams, decoded from its base64."""
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    events = [base64.b64decode(line["event"]) for line in lines]
    streams = [base64.b64decode(line["metadata"]) for line in lines]
    return b"\n".join(events), b"\n".join(streams)
