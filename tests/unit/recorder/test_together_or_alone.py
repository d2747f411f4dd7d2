"""Parts are written together; after an error of an event, each is written alone."""

from collections.abc import Sequence

from recorder.gathering.together_or_alone import write_together_or_alone
from telemetry_store.errors import DatabaseBusyError, DuplicateEventError


class Writer:
    """Keeps what it writes; each bad part fails the write that it is in."""

    def __init__(self, **bad: Exception) -> None:
        self.bad = bad
        self.tries: list[str] = []

    def write(self, parts: Sequence[str]) -> None:
        self.tries.append("".join(parts))
        for part in parts:
            if part in self.bad:
                raise self.bad[part]

    def outcomes(self, parts: str) -> list[tuple[str, Exception | None]]:
        return [("".join(settled), error) for settled, error in write_together_or_alone(self.write, parts)]


def test_parts_are_written_together() -> None:
    writer = Writer()
    assert writer.outcomes("abc") == [("abc", None)]
    assert writer.tries == ["abc"]


def test_a_failing_part_does_not_fail_the_others() -> None:
    writer = Writer(b=DuplicateEventError("again"))
    assert writer.outcomes("abc") == [("a", None), ("b", writer.bad["b"]), ("c", None)]
    assert writer.tries == ["abc", "a", "b", "c"]


def test_a_single_part_is_attempted_once() -> None:
    writer = Writer(a=TypeError("odd"))
    assert writer.outcomes("a") == [("a", writer.bad["a"])]
    assert writer.tries == ["a"]


def test_an_outage_is_the_outcome_of_all_parts_after_one_attempt() -> None:
    writer = Writer(b=DatabaseBusyError("locked"))
    assert writer.outcomes("abc") == [("abc", writer.bad["b"])]
    assert writer.tries == ["abc"]


def test_an_outage_between_single_parts_is_the_outcome_of_the_rest() -> None:
    writer = Writer(b=DuplicateEventError("again"), c=DatabaseBusyError("locked"))
    assert writer.outcomes("abcd") == [("a", None), ("b", writer.bad["b"]), ("cd", writer.bad["c"])]
    assert writer.tries == ["abcd", "a", "b", "c"]
