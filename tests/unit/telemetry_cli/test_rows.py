import math

import pytest

from telemetry import ExportMode, ExportPolicy, InvalidIdError, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_cli.export_preview import preview_event
from telemetry_cli.rows import checked_ids, event_of

OURS = "0193a9c4-7b1e-7c3a-9d52-5f0e8a6b1c2d"
OF_AN_ADOPTED_QUEUE = "3f2b8c1e-9d4a-4e6f-8b7a-1c2d3e4f5a6b"


def test_ids_of_an_adopted_queue_are_accepted() -> None:
    assert checked_ids([OURS, OF_AN_ADOPTED_QUEUE, OURS]) == [OURS, OF_AN_ADOPTED_QUEUE]


@pytest.mark.parametrize("given", ["nonsense", "", OURS.upper(), OURS.replace("-", ""), f"{{{OURS}}}", f"{OURS}\n"])
def test_an_invalid_id_is_rejected_and_not_quoted(given: str) -> None:
    with pytest.raises(InvalidIdError, match="must be a UUID in canonical lower-case text") as caught:
        checked_ids([given])
    assert not given or given not in str(caught.value)


def test_an_event_that_json_cannot_represent_has_a_name_but_no_content() -> None:
    event = pb.Event(id=OURS, feature="search", action="submit")
    event.parameters.private_metadata.fields["n"].number_value = math.nan
    payload = event.SerializeToString()
    assert event_of(payload) == ("search submit", None)
    policy = ExportPolicy(export_mode=ExportMode(everything=True))
    shown = preview_event(OURS, payload, policy=policy, redactor=Redactor(first_party=True)).as_json()
    assert (shown["leaves"], shown["event"]) == (True, None)


def test_a_time_that_json_cannot_represent_does_not_raise() -> None:
    event = pb.Event(id=OURS, feature="search", action="submit")
    event.timestamp.seconds = 2**62
    assert event_of(event.SerializeToString()) == ("search submit", None)
