"""Sends kept rejects through validation and publishing again, after what was wrong has been mended."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from telemetry_gateway.assembly import make_sink, recovered_queue
from telemetry_gateway.metrics import GatewayMetrics
from telemetry_gateway.publishing.messages import MessageMaker
from telemetry_gateway.publishing.publisher import read_publisher
from telemetry_gateway.publishing.publishing_queue import PublishingQueue
from telemetry_gateway.publishing.rejects import Reject, RejectsFile, keep_unreadable, put_aside, read_lines
from telemetry_gateway.settings import GatewaySettings
from telemetry_gateway.sinks.sink import Message

_AT_ONCE: Final = 500


@dataclass(slots=True)
class ReplayReport:
    """What became of kept rejects.

    Attributes:
        published: Events that the sink holds now; those that it held before are among them.
        still_rejected: Events that are kept again, with the reason of today.
        unreadable: Lines that are no reject, moved to the file `<name>.unreadable`.
    """

    published: int = 0
    still_rejected: int = 0
    unreadable: int = 0


def replay_rejects(settings: GatewaySettings, *, dry_run: bool = False) -> ReplayReport:
    """Publishes what can be accepted now, and keeps the rest.

    May be interrupted and begun again: events are put aside first, and forgotten when each is published or
    kept again. Duplicates are recognized as the gateway does. The sink `jsonl` has one writer, so a gateway that
    writes to it must be stopped meanwhile.

    Args:
        settings: The gateway's own.
        dry_run: Only counts; changes nothing.

    Raises:
        GatewayServiceError: The sink, the window or the file of rejects cannot be used.
    """
    if dry_run:
        return _count(settings)
    queue = recovered_queue(settings, make_sink(settings), GatewayMetrics())
    return asyncio.run(_replay(settings, queue))


def _count(settings: GatewaySettings) -> ReplayReport:
    report = ReplayReport()
    for kept in read_lines(settings.rejects_file):
        if isinstance(kept, bytes):
            report.unreadable += 1
        elif isinstance(_make(kept, settings), Message):
            report.published += 1
        else:
            report.still_rejected += 1
    return report


async def _replay(settings: GatewaySettings, queue: PublishingQueue) -> ReplayReport:
    report = ReplayReport()
    kept_again = RejectsFile(settings.rejects_file, settings.rejects_max_bytes)
    try:
        for aside in put_aside(settings.rejects_file):
            lines = read_lines(aside)
            unreadable: list[bytes] = []
            while some := list(islice(lines, _AT_ONCE)):
                unreadable += [line for line in some if isinstance(line, bytes)]
                made = [(reject, _make(reject, settings)) for reject in some if isinstance(reject, Reject)]
                messages = [message for _, message in made if isinstance(message, Message)]
                if messages:
                    await queue.publish(messages)
                now = datetime.now(UTC)
                bad = [replace(reject, at=now, reason=why) for reject, why in made if isinstance(why, str)]
                if bad:
                    kept_again.add(bad)
                report.published += len(messages)
                report.still_rejected += len(bad)
            if unreadable:
                keep_unreadable(settings.rejects_file, unreadable)
                report.unreadable += len(unreadable)
            aside.unlink()  # each line is somewhere else by now, durably
    finally:
        await queue.close()
    return report


def _make(reject: Reject, settings: GatewaySettings) -> Message | str:
    """Return the event as a message, or why it can still not be one."""
    # Its stream was let in when the event came, so nobody is asked for a token again.
    publisher = read_publisher(reject.metadata.identifier)
    maker = MessageMaker(reject.metadata, publisher, max_message_bytes=settings.sink_max_message_bytes)
    return maker.make(reject.event)
