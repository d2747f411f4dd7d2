"""Simulate a power cut: replay the file operations of a process; synced data stays, and other data may be lost.

POSIX is interpreted strictly: syncing a file makes its data durable, but not its name; syncing its folder makes names
durable.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

LEDGER = "ledger"
"""The file of the ids that a process has stored. Its writes are not replayed, but all of them count."""

_SHIM = Path(__file__).resolve().parents[1] / "faults" / "power" / "record_calls.c"


def build_shim(folder: Path) -> Path:
    """Return the library that records calls; skip the test if there is no C compiler."""
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
    """Yield the recorded calls in order."""
    whole = log.read_bytes()
    at = 0
    while at < len(whole):
        kind = chr(whole[at])
        (name_length,) = struct.unpack_from("<H", whole, at + 1)
        name = whole[at + 3 : at + 3 + name_length].decode()
        at += 3 + name_length
        offset, length = struct.unpack_from("<QI", whole, at)
        at += 12
        data = whole[at : at + length] if kind in "wr" else b""
        at += len(data)
        if not name.endswith(" (deleted)"):  # a file without a name is lost in a power cut
            yield Call(kind, name, offset, data)


class Disk:
    """The synced and the unsynced state of a disk.

    Args:
        files: The initial files.

    Attributes:
        promised: The content of the process's ledger so far.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.promised = bytearray()
        self._numbers = count()
        self._names: dict[str, int] = {}
        self._synced: dict[int, bytearray] = {}
        self._waiting: dict[int, list[Call]] = {}
        for name, content in (files or {}).items():
            self._synced[self._file(name)] = bytearray(content)
        self._synced_names = dict(self._names)
        self._waiting_names: list[dict[str, int]] = []

    def take(self, call: Call) -> None:
        """Replay a call."""
        if call.name == LEDGER:
            self.promised += call.data
        elif call.kind == "s" and not call.name:
            self._synced_names = dict(self._names)
            self._waiting_names.clear()
        elif call.kind == "s":
            number = self._file(call.name)
            content = self._synced.setdefault(number, bytearray())
            for earlier in self._waiting.pop(number, []):
                _apply(content, earlier)
        elif call.kind in "cru":
            number = self._file(call.name)
            if call.kind != "c":
                del self._names[call.name]
            if call.kind == "r":
                self._names[call.data.decode()] = number
            self._waiting_names.append(dict(self._names))
        else:
            self._waiting.setdefault(self._file(call.name), []).append(call)

    def cut(self, folder: Path, chance: random.Random | None) -> None:
        """Write the files as they are after a power cut.

        Args:
            folder: The target folder, whose content is replaced.
            chance: Selects the unsynced writes and the number of unsynced names that survive, or None for none of them.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # The journal of a file system keeps the order of operations on names, so only the last ones are lost.
        names = self._synced_names if chance is None else chance.choice([self._synced_names, *self._waiting_names])
        for name, number in names.items():
            content = bytearray(self._synced.get(number, b""))
            if chance is not None:
                for call in self._waiting.get(number, []):
                    if chance.random() < 0.5:
                        _apply(content, call)
            (folder / name).write_bytes(content)

    def _file(self, name: str) -> int:
        if name not in self._names:
            self._names[name] = next(self._numbers)
        return self._names[name]


def _apply(content: bytearray, call: Call) -> None:
    if call.kind == "t":
        del content[call.offset :]
        content.extend(b"\0" * (call.offset - len(content)))
        return
    end = call.offset + len(call.data)
    content.extend(b"\0" * (end - len(content)))
    content[call.offset : end] = call.data
