"""What a broken promise is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """A broken promise.

    Attributes:
        promise: What holds no more.
        file: Where, below `src`.
        right: The code that keeps it; stands there once.
        wrong: What stands there instead.
        tests: Where it should be noticed: the arguments of pytest, the narrowest that do.
    """

    promise: str
    file: str
    right: str
    wrong: str
    tests: str
