"""The conversion of events to messages."""

import json
import math

import pytest
from google.protobuf.json_format import Parse
from hypothesis import given
from hypothesis import strategies as st

from support.gateway_client import INSTANCE, event
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway import InvalidStreamError, Message
from telemetry_gateway.publishing.messages import MessageMaker
from telemetry_gateway.publishing.publisher import name_in_json, read_publisher

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
identifiers = st.one_of(
    st.builds(
        lambda key, one, url: pb.Identifier(
            licensed_instance=pb.Identifier.LicensedInstanceIdentifier(
                license_key=key, instance_id=one, external_url=url
            )
        ),
        text.filter(bool),
        text,
        text,
    ),
    st.builds(
        lambda one: pb.Identifier(unlicensed_instance=pb.Identifier.UnlicensedInstanceIdentifier(instance_id=one)),
        text.filter(bool),
    ),
    st.builds(
        lambda one: pb.Identifier(managed_service=pb.Identifier.ManagedServiceIdentifier(service_id=one)),
        text.filter(bool).filter(lambda one: not one.endswith(("_instance", "_service"))),  # reserved words
    ),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


def maker(identifier: pb.Identifier = INSTANCE, limit: int = 1024 * 1024) -> MessageMaker:
    metadata = pb.RecordEventsRequestMetadata(request_id="r", identifier=identifier)
    return MessageMaker(metadata, read_publisher(identifier), max_message_bytes=limit)


@given(
    identifier=identifiers,
    private=st.dictionaries(text, json_values, max_size=4),
    user=st.integers(-(2**63), 2**63 - 1),
)
def test_a_message_contains_the_event_and_its_metadata(
    identifier: pb.Identifier, private: dict[str, object], user: int
) -> None:
    sent = event()
    sent.parameters.private_metadata.update(private)  # type: ignore[arg-type]
    sent.user.user_id = user

    made = maker(identifier).make(sent)

    assert isinstance(made, Message)
    body = json.loads(made.body)
    assert Parse(json.dumps(body["event"]), pb.Event()) == sent
    assert Parse(json.dumps(body["metadata"]["identifier"]), pb.Identifier()) == identifier
    # A line read from the file has the same publisher name as the received event.
    assert name_in_json(body["metadata"]["identifier"]) == made.publisher


@given(st.floats())
def test_numbers_are_published_or_rejected(number: float) -> None:
    sent = event()
    sent.parameters.metadata["n"] = number

    made = maker().make(sent)

    if math.isfinite(number):
        assert isinstance(made, Message)
        assert json.loads(made.body)["event"]["parameters"]["metadata"]["n"] == number
    else:
        assert made == "metadata contains a number that is not finite"


@given(seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1))
def test_timestamps_are_published_or_rejected(seconds: int, nanos: int) -> None:
    sent = event()
    sent.timestamp.seconds, sent.timestamp.nanos = seconds, nanos

    good = -62_135_596_800 <= seconds <= 253_402_300_799 and 0 <= nanos <= 999_999_999
    assert isinstance(maker().make(sent), Message) == good


def test_the_size_of_attributes_is_limited() -> None:
    sent = event()
    for number in range(200):
        sent.parameters.metadata[f"recordsPrivateMetadata{number:040}"] = 1

    assert maker().make(sent) == "has attributes of more than 4096 bytes"


def test_the_length_of_a_service_id_is_limited() -> None:
    identifier = pb.Identifier(managed_service=pb.Identifier.ManagedServiceIdentifier(service_id="x" * 257))
    with pytest.raises(InvalidStreamError, match="more than 256 characters"):
        read_publisher(identifier)
