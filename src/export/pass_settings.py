"""The settings of an export pass."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """The settings of an export pass.

    Attributes:
        batch_size: Events per lease.
        lease: How long a lease is held. Must be longer than the deadline of a stream.
        chunk_bytes: The largest request, in bytes.
        shutdown_timeout: How long `stop` waits for a running stream.
        attempts_before_alone: After this many failed attempts, an event is sent alone in a stream.
        attempts_before_dead: After this many failed attempts, an event becomes a dead letter.
        retry_after: The longest delay before the second attempt; doubled for each further one, at most an hour.
        held_for: The delay before an event that the export mode does not cover is checked again.
        outages_per_pass: After this many consecutive outages, the pass ends.
        backoff: The upper limit of the random pause after the first outage, and the limit that doubling it may reach.
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
