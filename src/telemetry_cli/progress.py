"""Shows how far long work is: to people at a terminal, on standard error, and to nobody else."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from telemetry_cli.output import err

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_LOOK_EVERY_SECONDS: Final = 0.2


class _Rate(ProgressColumn):
    """How many of the things are done in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class Shown:
    """What is shown of work that goes on."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def advance(self, more: int) -> None:
        """Shows that so many more are done."""
        self._progress.advance(self._task, more)

    def reach(self, done: int, total: int) -> None:
        """Shows that so many of so many are done."""
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def show_progress(what: str, total: int | None) -> Generator[Shown]:
    """Shows what is done, how fast, and what remains, while the block runs.

    Args:
        what: The things that are counted, such as `events`.
        total: How many there are; None where that is not known yet.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    # It is gone when the work ends, also by Ctrl-C, so that the answer stands alone.
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield Shown(progress, what, total)


@contextmanager
def follow_progress(
    what: str, total: int | None, registry: "CollectorRegistry", counters: Sequence[str]
) -> Generator[None]:
    """Shows how far work is that counts for Prometheus, while the block runs.

    Args:
        what: The things that are counted.
        total: How many there are; None where that is not known.
        registry: Where the counters are.
        counters: Their names, without `telemetry_`; what they count together is done.
    """
    if not err.is_terminal:
        yield
        return
    ended = threading.Event()
    with show_progress(what, total) as shown:

        def follow() -> None:
            seen = 0
            while not ended.wait(_LOOK_EVERY_SECONDS):
                counted = sum(registry.get_sample_value(f"telemetry_{name}_total") or 0 for name in counters)
                shown.advance(int(counted) - seen)
                seen = int(counted)

        follower = threading.Thread(target=follow, name="telemetry-progress", daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()
