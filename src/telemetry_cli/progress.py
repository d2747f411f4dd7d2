"""Progress bars on standard error, shown only in a terminal."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from telemetry_cli.output import err

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_POLL_SECONDS: Final = 0.2


class _Rate(ProgressColumn):
    """The number of items per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class Shown:
    """The progress bar of running work."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def advance(self, more: int) -> None:
        """Show that `more` further items are done."""
        self._progress.advance(self._task, more)

    def reach(self, done: int, total: int) -> None:
        """Show that `done` of `total` items are done."""
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def show_progress(what: str, total: int | None) -> Generator[Shown]:
    """Show items done, their rate and the remaining time while the block runs.

    Args:
        what: The plural name of the items, for example `events`.
        total: The number of items; None if it is not known yet.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    # Removed when the work ends, also by Ctrl-C, so that only the result remains.
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield Shown(progress, what, total)


@contextmanager
def follow_progress(
    what: str, total: int | None, registry: "CollectorRegistry", counters: Sequence[str]
) -> Generator[None]:
    """Show the progress of work that increases Prometheus counters, while the block runs.

    Args:
        what: The plural name of the items.
        total: The number of items; None if it is not known.
        registry: The registry of the counters.
        counters: Their names without `telemetry_`; the sum of their values is the number of items done.
    """
    if not err.is_terminal:
        yield
        return
    ended = threading.Event()
    with show_progress(what, total) as shown:

        def follow() -> None:
            seen = 0
            while not ended.wait(_POLL_SECONDS):
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
