"""What belongs to one process is made anew in its children."""

import os
import weakref
from typing import Final


class Forkable:
    """Something that a forked child cannot share with its parent. It is told of every fork, as long as it lives."""

    def __init__(self) -> None:
        _WATCHED.add(self)

    def before_fork(self) -> None:
        """Comes to rest. Runs in the parent, in the thread that forks."""

    def after_fork_in_parent(self) -> None:
        """Goes on."""

    def after_fork_in_child(self) -> None:
        """Lets go of what is the parent's. Runs before anything else does in the child."""


_WATCHED: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()
_resting: list[Forkable] = []


def _before_fork() -> None:
    _resting[:] = _WATCHED
    for thing in _resting:
        thing.before_fork()


def _after_fork_in_parent() -> None:
    for thing in _resting:
        thing.after_fork_in_parent()
    _resting.clear()


def _after_fork_in_child() -> None:
    for thing in _resting:
        thing.after_fork_in_child()
    _resting.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
