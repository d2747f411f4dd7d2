"""Random calls with hostile and valid arguments, reproducible by their seed."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from random import Random
from typing import Any

import uuid6

from telemetry import BillingMetadata, Client, EventContext, EventParameters, MarketingTracking, NewEvent
from telemetry.redaction import NOT_A_STRING

SECRET = "CANARY HOSTILE"
"""Part of many values, also invalid ones; no error may quote it. It has a space, because errors name keys of `metadata`
that look like identifiers."""

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Raising(Mapping[str, Any]):
    """A mapping that raises an error with a value when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(SECRET)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError(SECRET)

    def __len__(self) -> int:
        return 1


class StrangeZone(tzinfo):
    """A time zone that raises errors, or that has no name and an offset of seconds."""

    def __init__(self, offset: timedelta | None) -> None:
        self._offset = offset

    def utcoffset(self, _moment: datetime | None) -> timedelta | None:
        if self._offset is None:
            raise RuntimeError(SECRET)
        return self._offset

    def tzname(self, _moment: datetime | None) -> None:
        return None

    def dst(self, _moment: datetime | None) -> None:
        return None


class Text(str):
    """A subclass of str."""

    __slots__ = ()


_TEXTS = (
    "", "a", SECRET, "\0", f"{SECRET}\0", "\ud800", f"{SECRET}\udfff", "\U0010ffff", "\ufffe\uffff", "\ufeff",
    "e\u0301", "\u202e\u2028",
    "'; DROP TABLE event_logs; --", "%s %(id)s {} {0}", "\\u0000", "\\\\u0000", "\\", '"', "\x1b[31m", "\r\n\t",
    "\x7f\x80",
    "NULL", "\\N", "\\.", "true", "NaN", "__proto__", "telemetry.privateMetadata.exportable",
    "telemetry.event.exportable",
    "translation.error", "recordsPrivateMetadataX", NOT_A_STRING, Text("text"),
)  # fmt: skip
_NUMBERS: tuple[Any, ...] = (
    0, -0.0, 1, -1, True, False, 1e308, 1.7976931348623157e308, 5e-324, 1e300, 0.1, 1e16, 2**53, 2**53 + 1, -(2**53),
    2**63, 10**400,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_THINGS: tuple[Any, ...] = (
    None, b"bytes", SECRET.encode(), object(), {1, 2}, Decimal("1.5"), 1j, uuid.UUID(int=7), date(2026, 1, 1), NOW,
    Exception(SECRET), int, range(3),
)  # fmt: skip
_KEYS: tuple[Any, ...] = (None, b"bytes", 7, 1.5, (1, 2), NOW, int)
_LENGTHS = (1, 2, 63, 64, 65, 127, 128, 129, 511, 512, 513, 4_096, 60_000, 70_000)
_GOOD_NAMES = ("search", "search.results", "aB", "x" + "-" * 63, "editor.Tab-close")
_BAD_NAMES: tuple[Any, ...] = (
    "",
    "a",
    "A",
    "search\n",
    "search results",
    "x1",
    "é",
    "x" * 65,
    "-a",
    ".a",
    SECRET,
    None,
    7,
    b"search",
    ["search"],
)


class HostileCalls:
    """Generates calls.

    Args:
        seed: The seed of the random generator.
        share: The share of hostile fields, 0 to 1.
    """

    def __init__(self, seed: int, share: float = 0.12) -> None:
        self._chance = Random(seed)
        self._share = share
        self._former: str | None = None

    def __call__(self) -> NewEvent:
        """Return an event to record.

        Raises:
            InvalidInputError: The context is invalid, which is checked when it is created.
        """
        parts = (self._name(), self._name(), self._parameters(), self._id(), self._timestamp(), self._context())
        values: tuple[Any, ...] = parts
        return NewEvent(*values)

    def _hostile(self) -> bool:
        return self._chance.random() < self._share

    def _one(self, *makers: Callable[[], Any]) -> Any:
        return self._chance.choice(makers)()

    def text(self) -> Any:
        chance = self._chance
        kind = chance.random()
        if kind < 0.5:
            return chance.choice(_TEXTS)
        if kind < 0.6:
            return chance.choice("ab\u00e9\u4e2d\U0001f600\0") * chance.choice(_LENGTHS)
        letters = [
            chance.choice((chance.randrange(32, 127), chance.randrange(0x110000))) for _ in range(chance.randrange(30))
        ]
        return "".join(map(chr, letters))

    def _good_text(self) -> str:
        return self._chance.choice(("a", "vscode", "1.2.3", "é中", SECRET, "x" * 100))

    def _thing(self) -> Any:
        return self._one(lambda: self._chance.choice(_THINGS), lambda: self._chance.choice(_NUMBERS), self.text)

    def _maybe(self, good: Callable[[], Any]) -> Any:
        return self._one(self._thing, self.text) if self._hostile() else self._one(good, lambda: None)

    def _name(self) -> Any:
        return self._chance.choice(_BAD_NAMES if self._chance.random() < self._share / 4 else _GOOD_NAMES)

    def _id(self) -> Any:
        # Ids are not reproducible: each run generates different ones.
        made = str(uuid6.uuid7())
        if self._chance.random() < self._share / 3:
            former = self._former or made
            spoilt = (made.upper(), f"{made}\n", f"{{{made}}}", made.replace("-", ""), made.encode())
            return self._chance.choice((former, *spoilt, str(uuid.uuid4()), uuid6.uuid7(), "", 7, SECRET))
        self._former = made
        return made

    def _timestamp(self) -> Any:
        chance = self._chance
        if not self._hostile():
            return chance.choice((None, NOW, NOW + timedelta(microseconds=chance.randrange(10**12))))
        zone = timezone(timedelta(minutes=chance.randrange(-1439, 1440)))
        return chance.choice(
            (
                datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC),
                datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone),
                datetime.fromtimestamp(chance.randrange(-62_135_596_800, 253_402_300_800), UTC),
                NOW.replace(tzinfo=None), NOW.date(), "2026-03-01",
                NOW.replace(tzinfo=StrangeZone(None)), NOW.replace(tzinfo=StrangeZone(timedelta(seconds=1))), 0,
                datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=1),
            )
        )  # fmt: skip

    def _parameters(self) -> Any:
        if self._hostile() and self._hostile():
            return self._thing()
        return EventParameters(
            version=self._thing() if self._hostile() else self._chance.randrange(-(2**31), 2**31),
            metadata=self._metadata(),
            private_metadata=self._private_metadata(),
            billing_metadata=self._billing(),
        )

    def _metadata(self) -> Any:
        chance = self._chance
        if not self._hostile():
            return chance.choice(
                (None, {}, {"count": chance.random() * 10 ** chance.randrange(-300, 300), "ok": True, SECRET: 2**53})
            )
        return self._one(
            lambda: {self.text(): chance.choice(_NUMBERS) for _ in range(chance.randrange(5))},
            lambda: {"key": self._thing()},
            lambda: {f"recordsPrivateMetadata{number}{'x' * 100}": 1 for number in range(60)},
            lambda: {f"k{number}": number for number in range(2_000)},
            lambda: {chance.choice(_KEYS): 1},
            Raising,
            self._thing,
        )

    def _private_metadata(self) -> Any:
        chance = self._chance
        if not self._hostile():
            return chance.choice((None, {}, {"query": SECRET, "deep": {"a": [1, {"b": None}], "é": [[]]}, "x": 1.5}))
        return self._one(
            lambda: self._document(chance.randrange(1, 5)),
            lambda: {"nested": _nested(chance.randrange(12, 19))},
            lambda: {"text": "x" * chance.choice(_LENGTHS)},
            lambda: {"bomb": _bomb()},
            lambda: {"cycle": _cycle()},
            lambda: {"value": self._thing()},
            lambda: {chance.choice(_KEYS) if chance.random() < 0.1 else self.text(): self.text() for _ in range(5)},
            Raising,
            self._thing,
        )

    def _document(self, depth: int) -> Any:
        chance = self._chance
        if depth == 0:
            return self._one(self.text, lambda: chance.choice(_NUMBERS[:13]), lambda: None)
        if chance.random() < 0.5:
            return {str(self._good_text()): self._document(depth - 1) for _ in range(chance.randrange(4))}
        made = [self._document(depth - 1) for _ in range(chance.randrange(4))]
        return {"list": made} if depth == 1 else chance.choice((made, tuple(made)))

    def _billing(self) -> Any:
        if not self._hostile():
            return self._one(lambda: None, lambda: BillingMetadata("product", "category"))
        return self._one(lambda: BillingMetadata(self._maybe(self._good_text), self.text()), self._thing)

    def _context(self) -> Any:
        chance = self._chance
        if chance.random() < 0.3:
            return None
        if self._hostile() and self._hostile():
            return self._thing()
        flags: Any = {self._good_text(): chance.choice((True, False, "yes"))}
        if self._hostile():
            flags = self._one(
                lambda: {self.text(): self.text()}, lambda: {self._good_text(): self._thing()}, self._thing
            )
        # Only one field in twenty is hostile, so that most events have a single fault.
        quiet = HostileCalls(chance.randrange(2**32), self._share / 6)
        return EventContext(
            user_id=quiet._maybe(lambda: chance.choice((7, 0, -1, 2**31, -(2**63), 2**63 - 1))),
            anonymous_user_id=quiet._maybe(self._good_text),
            sams_external_id=quiet._maybe(self._good_text),
            feature_flags=flags,
            interaction_id=quiet._maybe(self._good_text),
            country_code=quiet._maybe(lambda: "DE"),
            client=None
            if chance.random() < 0.5
            else Client(quiet._maybe(self._good_text) or "web", quiet._maybe(self._good_text)),
            marketing_tracking=None
            if chance.random() < 0.5
            else MarketingTracking(
                url=quiet._maybe(self._good_text), cohort_id=quiet._maybe(self._good_text),
                device_session_id=quiet._maybe(self._good_text),
                referrer=quiet._maybe(self._good_text),
            ),
        )  # fmt: skip


def _nested(depth: int) -> Any:
    made: Any = SECRET
    for level in range(depth):
        made = {"a": made} if level % 2 else [made]
    return made


def _bomb() -> Any:
    """Return a small value that expands to ten million values."""
    made: Any = "x"
    for _ in range(7):
        made = [made] * 10
    return made


def _cycle() -> Any:
    made: list[Any] = []
    made.append(made)
    return made
