"""Check that a JetStream stream does not lose acknowledged messages."""

from collections.abc import Sequence
from datetime import timedelta

from nats.js import api


def problems_of(config: api.StreamConfig, subject: str, min_age: timedelta) -> Sequence[str]:
    """Return the problems that make a stream lose acknowledged messages, each with the change to make.

    A full stream that rejects new messages loses nothing, because they are not acknowledged.

    Args:
        config: The configuration of the stream on the server.
        subject: The subject of published messages.
        min_age: The shortest accepted `max_age`.
    """
    # Compared with == and not by identity, because the server's response has strings instead of enum members.
    discards_old = config.discard != api.DiscardPolicy.NEW
    bounded = any((limit or 0) > 0 for limit in (config.max_msgs, config.max_bytes))
    per_subject = config.max_msgs_per_subject > 0 and not (config.discard_new_per_subject and not discards_old)
    age = timedelta(seconds=config.max_age or 0)
    checks = (
        (config.mirror is not None, "it is a mirror; publish to its origin"),
        (config.sealed, "it is sealed"),
        (not _includes(config.subjects or (), subject), f"its subjects do not include {subject}"),
        (bool(config.no_ack), "no_ack is set; unset it"),
        (config.storage != api.StorageType.FILE, "it is stored in memory; use file storage"),
        (config.persist_mode == api.PersistMode.ASYNC, "persist_mode is async; use the default"),
        (
            config.retention == api.RetentionPolicy.INTEREST,
            "retention by interest deletes messages without consumers; use limits or workqueue",
        ),
        (bounded and discards_old, "it discards old messages when it is full; set discard to new"),
        (per_subject, "max_msgs_per_subject discards old messages; unset it"),
        (timedelta() < age < min_age, f"max_age is {age}, shorter than {min_age}"),
    )
    return [problem for holds, problem in checks if holds]


def _includes(patterns: Sequence[str], subject: str) -> bool:
    return any(_matches(pattern.split("."), subject.split(".")) for pattern in patterns)


def _matches(pattern: Sequence[str], subject: Sequence[str]) -> bool:
    if pattern[-1:] == [">"]:
        return len(subject) >= len(pattern) and _matches(pattern[:-1], subject[: len(pattern) - 1])
    return len(pattern) == len(subject) and all(a in ("*", b) for a, b in zip(pattern, subject, strict=True))
