"""The description of a broken promise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """A broken promise.

    Attributes:
        promise: The promise that is broken.
        file: The file, below `src`.
        right: The code that keeps the promise; it must be in the file exactly once.
        wrong: The code that replaces it.
        tests: The narrowest arguments of pytest that select the tests that should fail.
    """

    promise: str
    file: str
    right: str
    wrong: str
    tests: str
