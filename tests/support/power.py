"""Replays what a process did to its files up to a power cut: what was synced stays, of the rest what chance leaves."""

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

LEDGER = "ledger"
"""The file that a process writes what it was promised to: not replayed, but believed as far as it was written."""

_SHIM = Path(__file__).resolve().parents[1] / "faults" / "power" / "record_calls.c"


def build_shim(folder: Path) -> Path:
    """Returns the library that records calls; skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the recorder of system calls")
    library = folder / "record_calls.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SHIM, "-ldl", "-lpthread"], check=True)
    return library


@dataclass(frozen=True)
class Call:
    kind: str
    name: str
    offset: int
    data: bytes


def read_calls(log: Path) -> Iterator[Call]:
    """Yields what was recorded, in order."""
    whole = log.read_bytes()
    at = 0
    while at < len(whole):
        kind = chr(whole[at])
        (name_length,) = struct.unpack_from("<H", whole, at + 1)
        name = whole[at + 3 : at + 3 + name_length].decode()
        at += 3 + name_length
        offset, length = struct.unpack_from("<QI", whole, at)
        at += 12
        data = whole[at : at + length] if kind == "w" else b""
        at += len(data)
        yield Call(kind, name, offset, data)


@dataclass
class Disk:
    """What is on a disk, and what is only on its way there."""

    synced: dict[str, bytearray] = field(default_factory=dict)
    waiting: dict[str, list[Call]] = field(default_factory=dict)
    promised: bytearray = field(default_factory=bytearray)

    def take(self, call: Call) -> None:
        """Does what the process did."""
        if call.name == LEDGER:
            self.promised += call.data
        elif call.kind == "s":
            content = self.synced.setdefault(call.name, bytearray())
            for earlier in self.waiting.pop(call.name, []):
                _apply(content, earlier)
        else:
            self.waiting.setdefault(call.name, []).append(call)

    def cut(self, folder: Path, chance: random.Random | None) -> None:
        """Writes the files as they are found after a power cut.

        Args:
            folder: Where to; what is there goes.
            chance: Which of the unsynced writes got through all the same; None: not one.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in self.synced.keys() | self.waiting.keys():
            content = bytearray(self.synced.get(name, b""))
            if chance is not None:
                for call in self.waiting.get(name, []):
                    if chance.random() < 0.5:
                        _apply(content, call)
            if name in self.synced or content:
                (folder / name).write_bytes(content)


def _apply(content: bytearray, call: Call) -> None:
    if call.kind == "t":
        del content[call.offset :]
        content.extend(b"\0" * (call.offset - len(content)))
        return
    end = call.offset + len(call.data)
    content.extend(b"\0" * (end - len(content)))
    content[call.offset : end] = call.data
