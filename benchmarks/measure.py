"""Interleaved rounds and their medians: compared cases are measured at the same time on the same machine."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Comparison:
    """One path against its floor or peer.

    Attributes:
        path: What is measured, on which database.
        unit: Of `figures`.
        figures: The median of each case, by the case's name; `ours` and `floor` among them.
        goal: The ratio that is wanted.
        higher_is_better: Whether `figures` are rates; else they are times or bytes.
        notes: What else there is to say.
    """

    path: str
    unit: str
    figures: Mapping[str, float]
    goal: float | None
    higher_is_better: bool = False
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def ratio(self) -> float:
        return self.figures["ours"] / self.figures["floor"]

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.higher_is_better else self.ratio <= self.goal


def interleave(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Run every case once per round, in alternating order, and return the median of each case's figures."""
    names = list(cases)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        cases[name]()  # caches, connections, statements
    for number in range(rounds):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            gc.collect()
            figures[name].append(cases[name]())
    return {name: statistics.median(values) for name, values in figures.items()}


def seconds_per_call(call: Callable[[], object], calls: int) -> Callable[[], float]:
    """Return a case that makes calls and returns their average duration in seconds."""

    def case() -> float:
        started = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - started) / calls

    return case


def seconds(call: Callable[[], object]) -> float:
    """Return the duration of a call in seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
