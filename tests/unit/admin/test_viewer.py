from datetime import date

from google.protobuf.timestamp_pb2 import Timestamp

from support.events import CANARY, sensitive_event
from telemetry import Allowlist, AllowlistEntry, Redactor
from telemetry.explanation import Rule
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_admin.viewer import Node, view_event

ENTRY = AllowlistEntry("search.results", "submit", {"count": "why"}, "me", date(2026, 1, 1))


def broken_clock() -> date:
    raise ArithmeticError(CANARY)


def below(lines: list[Node], *names: str) -> Node:
    node = next(line for line in lines if line.name == names[0])
    return node if len(names) == 1 else below(node.children, *names[1:])


def test_an_unredactable_event_shows_only_its_name() -> None:
    viewed = view_event(sensitive_event().SerializeToString(), Redactor(Allowlist([ENTRY]), today=broken_clock))

    assert (viewed.feature, viewed.action, viewed.lines) == ("search.results", "submit", ())
    assert viewed.problem == "it cannot be redacted, so it is never exported"


def test_an_event_with_an_invalid_time_shows_only_its_name() -> None:
    event = pb.Event(feature="search", action="submit", timestamp=Timestamp(seconds=10**15))

    viewed = view_event(event.SerializeToString(), Redactor())

    assert (viewed.feature, viewed.action, viewed.lines) == ("search", "submit", ())
    assert viewed.problem == "it contains a time or a number that cannot be shown"


def test_a_redaction_marker_is_shown_as_held_back() -> None:
    viewed = view_event(sensitive_event(count=5, query=CANARY).SerializeToString(), Redactor(Allowlist([ENTRY])))

    count = below(list(viewed.lines), "parameters", "private_metadata", "count")
    assert count.held is not None
    assert count.held.rule is Rule.NOT_TEXT
    assert CANARY not in repr(viewed)
