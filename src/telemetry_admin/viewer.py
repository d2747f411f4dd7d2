"""An event as a tree of lines: what may leave, and in its place what is held back, with the rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import DecodeError

from telemetry import RedactionError, Redactor
from telemetry.explanation import HeldBack, explain
from telemetry.v1 import telemetrygateway_pb2 as pb


@dataclass(slots=True)
class Node:
    """A line of the tree, and the lines below it.

    Attributes:
        name: The field or the key.
        value: What may leave, as JSON; None where there are lines below, or nothing leaves.
        held: The rule that holds it back; None for what leaves.
        children: The lines below.
    """

    name: str
    value: str | None = None
    held: HeldBack | None = None
    children: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ViewedEvent:
    """An event for the page.

    Attributes:
        feature: The feature; empty where the event cannot be read.
        action: The action; likewise.
        lines: The tree; empty where nothing of the event may be shown.
        held_back: What is held back, and was in the event.
        problem: Why nothing may be shown; None where something may.
    """

    feature: str
    action: str
    lines: Sequence[Node]
    held_back: Sequence[HeldBack]
    problem: str | None = None


def view_event(payload: bytes, redactor: Redactor) -> ViewedEvent:
    """Returns an event of the queue for the page, redacted by today's rules whatever it holds."""
    event = pb.Event()
    try:
        event.ParseFromString(payload)
        # SECURITY: an adopted queue may hold what was never redacted; no page shows it.
        explanation = explain(event, redactor)
    except DecodeError:
        return ViewedEvent("", "", (), (), "its payload is no event")
    except RedactionError:
        return ViewedEvent(event.feature, event.action, (), (), "it cannot be redacted, so nothing of it may leave")
    try:
        lines = list(_nodes(MessageToDict(explanation.redacted, preserving_proto_field_name=True)))
    except SerializeToJsonError:
        return ViewedEvent(event.feature, event.action, (), (), "it holds a time or a number that cannot be shown")
    for held in explanation.held_back:
        _put(lines, held)
    present = tuple(held for held in explanation.held_back if held.present)
    return ViewedEvent(event.feature, event.action, lines, present)


def event_name(payload: bytes) -> tuple[str, str]:
    """Returns feature and action of an event of the queue; empty where it cannot be read."""
    event = pb.Event()
    try:
        event.ParseFromString(payload)
    except DecodeError:
        return "", ""
    return event.feature, event.action


def _nodes(values: Mapping[str, Any]) -> Iterator[Node]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield Node(name, children=list(_nodes(value)))
        else:
            yield Node(name, orjson.dumps(value).decode())


def _put(lines: list[Node], held: HeldBack) -> None:
    """Puts a part that is held back at its place, in place of the marker that leaves for it."""
    *parents, last = held.path or (held.place,)
    for name in parents:
        parent = next((line for line in lines if line.name == name), None)
        if parent is None:
            parent = Node(name)
            lines.append(parent)
        lines = parent.children
    here = next((line for line in lines if line.name == last), None)
    if here is None:
        lines.append(Node(last, held=held))
    else:
        here.held = held
