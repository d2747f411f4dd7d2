"""Shows an event as a tree: the values that may leave, and the parts that are held back, each with the rule."""

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
    """A node of the tree, shown as a line.

    Attributes:
        name: Name of the field or key.
        value: The value that may leave, as JSON; None if there are children, or nothing leaves.
        held: The rule that holds it back; None if the value may leave.
        children: The nodes below.
    """

    name: str
    value: str | None = None
    held: HeldBack | None = None
    children: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ViewedEvent:
    """An event as the page shows it.

    Attributes:
        feature: The feature; empty if the event cannot be read.
        action: The action; likewise.
        lines: The tree; empty if the event may not be shown.
        held_back: The parts that the event contains and that are held back.
        problem: Why the event cannot be shown; None if it can.
    """

    feature: str
    action: str
    lines: Sequence[Node]
    held_back: Sequence[HeldBack]
    problem: str | None = None


def view_event(payload: bytes, redactor: Redactor) -> ViewedEvent:
    """Return an event of the queue for the page, always redacted by the current rules."""
    event = pb.Event()
    try:
        event.ParseFromString(payload)
        # SECURITY: an adopted queue may contain events that were never redacted; never show them as they are.
        explanation = explain(event, redactor)
    except DecodeError:
        return ViewedEvent("", "", (), (), "its payload is not a valid event")
    except RedactionError:
        return ViewedEvent(event.feature, event.action, (), (), "it cannot be redacted, so it is never exported")
    try:
        lines = list(_nodes(MessageToDict(explanation.redacted, preserving_proto_field_name=True)))
    except SerializeToJsonError:
        return ViewedEvent(event.feature, event.action, (), (), "it contains a time or a number that cannot be shown")
    for held in explanation.held_back:
        _put(lines, held)
    present = tuple(held for held in explanation.held_back if held.present)
    return ViewedEvent(event.feature, event.action, lines, present)


def event_name(payload: bytes) -> tuple[str, str]:
    """Return feature and action of an event of the queue; empty if it cannot be read."""
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
    """Put a part that is held back into the tree, replacing the marker that is exported for it."""
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
