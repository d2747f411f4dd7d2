"""Replay rejected events: validate and publish them again after the cause is fixed."""

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
    """The result of a replay.

    Attributes:
        published: Number of events that the sink now stores, including those that it stored before.
        still_rejected: Number of events that were rejected again, and are stored with the new reason.
        unreadable: Number of invalid lines, which were moved to the file `<name>.unreadable`.
    """

    published: int = 0
    still_rejected: int = 0
    unreadable: int = 0


def replay_rejects(settings: GatewaySettings, *, dry_run: bool = False) -> ReplayReport:
    """Publish the rejected events that can be accepted now, and keep the others.

    A replay can be interrupted and started again: the file is renamed first, and deleted after each of its events is
    published or stored again. Duplicates are recognized as in the gateway. The sink `jsonl` allows only one writer, so
    a gateway that writes to it must be stopped during the replay.

    Args:
        settings: The settings of the gateway.
        dry_run: Count the events only, without any change.

    Raises:
        GatewayServiceError: The sink, the window or the file of rejected events cannot be used.
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
            aside.unlink()  # every line is stored durably elsewhere
    finally:
        await queue.close()
    return report


def _make(reject: Reject, settings: GatewaySettings) -> Message | str:
    """Return the message of the event, or the reason why it is still rejected."""
    # The stream was authenticated when the event was received, so the token is not checked again.
    publisher = read_publisher(reject.metadata.identifier)
    maker = MessageMaker(reject.metadata, publisher, max_message_bytes=settings.sink_max_message_bytes)
    return maker.make(reject.event)
