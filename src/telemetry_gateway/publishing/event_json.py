"""Protobuf's JSON mapping for events, compiled once from the schema.

The protobuf library walks the schema for every message, which takes several times as long. A test checks that both
have the same result. Fields that are added to the schema are encoded without a change here.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from telemetry.struct_json import struct_to_json
from telemetry.v1 import telemetrygateway_pb2 as pb

Convert: TypeAlias = Callable[[Any], Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_LENGTH: Final = len("1970-01-01T00:00:00")
_MILLI: Final = 1_000_000
_MICRO: Final = 1_000
_64_BITS: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
    }
)
_AS_THEY_ARE: Final = frozenset(
    {
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_DOUBLE,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_UINT32,
    }
)


@lru_cache(1024)  # events of a batch happen within a few seconds
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:_SECONDS_LENGTH]


def _timestamp(value: Timestamp) -> str:
    seconds, nanos = value.seconds, value.nanos
    text = _second(seconds)
    if not nanos:
        return f"{text}Z"
    if nanos % _MILLI == 0:
        return f"{text}.{nanos // _MILLI:03}Z"
    if nanos % _MICRO == 0:
        return f"{text}.{nanos // _MICRO:06}Z"
    return f"{text}.{nanos:09}Z"


_WELL_KNOWN: Final[Mapping[str, Convert]] = {
    Timestamp.DESCRIPTOR.full_name: _timestamp,
    Struct.DESCRIPTOR.full_name: struct_to_json,
}


def compile_encoder(descriptor: Descriptor) -> Convert:
    """Return a function that converts messages of a type to JSON-compatible values.

    The messages must have passed the gateway's checks: the function does not reject timestamps out of range, and
    rejects numbers that are not finite only in a `Struct`, with ValueError.
    """
    if descriptor.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[descriptor.full_name]
    if descriptor.file.package != pb.DESCRIPTOR.package:
        return MessageToDict
    always, optional = _encoders(descriptor)

    def encode(message: Message) -> dict[str, Any]:
        encoded = {}
        # By name: reading every field is faster than ListFields.
        for name, json_name, convert in always:
            if value := getattr(message, name):
                encoded[json_name] = value if convert is None else convert(value)
        is_set = message.HasField
        for name, json_name, convert in optional:
            if is_set(name):
                value = getattr(message, name)
                encoded[json_name] = value if convert is None else convert(value)
        return encoded

    return encode


_Encoders: TypeAlias = list[tuple[str, str, Convert | None]]


def _encoders(descriptor: Descriptor) -> tuple[_Encoders, _Encoders]:
    """Return name, JSON name and encoder of each field, first of fields without presence, then of those with it."""
    both: tuple[_Encoders, _Encoders] = ([], [])
    for field in descriptor.fields:
        both[field.has_presence].append((field.name, field.json_name, _field_encoder(field)))
    return both


def _field_encoder(field: FieldDescriptor) -> Convert | None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map_encoder(_single_encoder(kind.fields_by_name["value"]))
    convert = _single_encoder(field)
    return _list_encoder(convert) if field.is_repeated else convert


def _map_encoder(convert: Convert | None) -> Convert:
    return dict if convert is None else lambda entries: {key: convert(value) for key, value in entries.items()}


def _list_encoder(convert: Convert | None) -> Convert:
    return list if convert is None else lambda values: [convert(value) for value in values]


def _single_encoder(field: FieldDescriptor) -> Convert | None:
    if field.message_type is not None:
        return compile_encoder(field.message_type)
    if field.type in _64_BITS:
        return str
    if field.type in _AS_THEY_ARE:
        return None
    raise NotImplementedError(f"{field.full_name}: fields of this type are not supported")


event_to_json: Final[Convert] = compile_encoder(pb.Event.DESCRIPTOR)
"""Convert a checked `Event` to JSON-compatible values."""
