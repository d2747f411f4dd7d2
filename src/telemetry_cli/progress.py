"""Shows how far long work is: to people at a terminal, on standard error, and to nobody else."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from telemetry_cli.output import err


class _Rate(ProgressColumn):
    """How many of the things are done in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


@contextmanager
def show_progress(what: str, total: int | None) -> Generator[Callable[[int], None]]:
    """Shows what is done, how fast, and what remains, while the block runs.

    Args:
        what: The things that are counted, such as `events`.
        total: How many there are; None where that is not known.

    Yields:
        What to tell how many more are done.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    # It is gone when the work ends, also by Ctrl-C, so that the answer stands alone.
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)
