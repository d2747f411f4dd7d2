"""How an export pass goes about it."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """How a pass goes about it.

    Attributes:
        batch_size: Events leased at a time.
        lease: How long they are held; longer than a stream's deadline.
        chunk_bytes: The largest request.
        shutdown_timeout: How long `stop` lets a stream go on.
        attempts_before_alone: An event not acknowledged so often is sent in a stream of its own.
        attempts_before_dead: An event not acknowledged so often becomes a dead letter.
        retry_after: Before the second attempt; doubled for each further one, at most an hour.
        held_for: How long an event outside the export mode rests before it is looked at again.
        outages_per_pass: After so many in a row the pass gives up until the next one.
        backoff: The first and the longest wait between two of them; the wait is random below it.
    """

    batch_size: int = 10_000
    lease: timedelta = timedelta(minutes=5)
    chunk_bytes: int = 1024 * 1024
    shutdown_timeout: timedelta = timedelta(seconds=10)
    attempts_before_alone: int = 3
    attempts_before_dead: int = 5
    retry_after: timedelta = timedelta(seconds=30)
    held_for: timedelta = timedelta(hours=1)
    outages_per_pass: int = 5
    backoff: tuple[timedelta, timedelta] = (timedelta(seconds=1), timedelta(seconds=60))
