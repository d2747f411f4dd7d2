"""The compiled JSON mapping has the same result as the protobuf library's."""

import json
import math
from typing import Any

import orjson
import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,  # noqa: F401 - adds its file to the pool, which the later schema imports
    message_factory,
)
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway.publishing.event_json import compile_encoder, event_to_json

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: text,
    FieldDescriptor.CPPTYPE_DOUBLE: numbers,
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
}


def fill(draw: st.DrawFn, message: Message) -> None:
    """Set some fields of a message by its schema, including fields of later versions."""
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        here = getattr(message, field.name)
        if isinstance(here, Timestamp):
            here.seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
            here.nanos = draw(st.integers(0, 999_999_999) | st.integers(0, 999).map(lambda ms: ms * 1_000_000))
        elif isinstance(here, Struct):
            here.SetInParent()
            here.update(draw(st.dictionaries(text, json_values, max_size=3)))
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            here.update(draw(st.dictionaries(text, SCALARS[value.cpp_type], max_size=3)))
        elif field.message_type is not None:
            here.SetInParent()
            fill(draw, here)
        else:
            setattr(message, field.name, draw(SCALARS[field.cpp_type]))


@st.composite
def events(draw: st.DrawFn) -> pb.Event:
    made = pb.Event()
    fill(draw, made)
    return made


@given(events())
def test_result_equals_that_of_the_protobuf_library(event: pb.Event) -> None:
    ours = json.loads(orjson.dumps(event_to_json(event)))

    assert ours == MessageToDict(event)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_valid_json_are_rejected(number: float) -> None:
    event = pb.Event()
    event.parameters.private_metadata.fields["a"].list_value.values.append(Value(number_value=number))

    with pytest.raises(ValueError, match="not valid JSON"):
        event_to_json(event)


def test_large_numbers_stay_numbers() -> None:
    event = pb.Event()
    event.parameters.private_metadata.update(
        {"large": 1e300, "exact": 2.0**53, "beyond": 2.0**54, "whole": 3.0, "zero": -0.0}
    )

    numbers = json.loads(orjson.dumps(event_to_json(event)["parameters"]["privateMetadata"]))
    assert numbers == {"large": 1e300, "exact": 2**53, "beyond": 2.0**54, "whole": 3, "zero": 0}
    assert [type(numbers[key]) for key in ("exact", "beyond", "whole")] == [int, float, int]
    assert math.copysign(1, numbers["zero"]) == -1


def _later_version() -> Any:
    """Return a schema with features that the current one lacks: repeated fields, messages in maps, other packages."""
    file = descriptor_pb2.FileDescriptorProto(
        name="later.proto",
        package="telemetrygateway.v1",
        syntax="proto3",
        dependency=["google/protobuf/duration.proto", "telemetrygateway/v1/telemetrygateway.proto"],
    )
    message = file.message_type.add(name="Later")
    message.field.add(name="names", number=1, label=3, type=9, json_name="names")
    message.field.add(name="large_numbers", number=2, label=3, type=3, json_name="largeNumbers")
    message.field.add(name="took", number=3, label=1, type=11, type_name=".google.protobuf.Duration", json_name="took")
    message.field.add(
        name="by_name",
        number=4,
        label=3,
        type=11,
        type_name=".telemetrygateway.v1.Later.ByNameEntry",
        json_name="byName",
    )
    entry = message.nested_type.add(name="ByNameEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".telemetrygateway.v1.EventUser")
    file.message_type.add(name="Unknown").field.add(name="raw", number=1, label=1, type=12, json_name="raw")
    pool: Any = descriptor_pool.Default()
    pool.Add(file)
    return pool


def test_fields_of_a_later_schema_are_encoded() -> None:
    pool = _later_version()
    later: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("telemetrygateway.v1.Later"))()
    later.names.extend(["a", "b"])
    later.large_numbers.extend([2**60])
    later.took.seconds = 3
    later.by_name["x"].user_id = 7

    assert compile_encoder(later.DESCRIPTOR)(later) == MessageToDict(later)
    with pytest.raises(NotImplementedError, match=r"telemetrygateway\.v1\.Unknown\.raw"):
        compile_encoder(pool.FindMessageTypeByName("telemetrygateway.v1.Unknown"))


@pytest.mark.parametrize("nanos", [0, 1, 1_000, 1_000_000, 999_999_999, 120_000_000, 123_456_000])
@pytest.mark.parametrize("seconds", [-62_135_596_800, -1, 0, 1_760_000_000, 253_402_300_799])
def test_timestamps(seconds: int, nanos: int) -> None:
    event = pb.Event(timestamp=Timestamp(seconds=seconds, nanos=nanos))

    assert event_to_json(event) == MessageToDict(event)
