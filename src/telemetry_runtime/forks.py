"""Hooks around `os.fork`, for objects that must be created again in a child process."""

import os
import weakref
from typing import Final


class Forkable:
    """An object that a forked child cannot share with its parent. Its hooks run at every fork while it exists."""

    def __init__(self) -> None:
        _WATCHED.add(self)

    def before_fork(self) -> None:
        """Pause. Runs in the parent, in the thread that forks."""

    def after_fork_in_parent(self) -> None:
        """Resume."""

    def after_fork_in_child(self) -> None:
        """Drop what belongs to the parent. Runs in the child before any other code."""


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
