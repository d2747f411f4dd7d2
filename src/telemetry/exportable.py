"""The schema of exportable events: `Event` without the fields that must not be exported.

An event that is parsed with it has every other field as an unknown field. So checking the serialized event for
unknown fields finds everything that must not be sent, at any depth.
"""

from functools import cache

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from telemetry.v1 import telemetrygateway_pb2 as pb


@cache
def exportable_event(without: frozenset[str]) -> type[Message]:
    """Return the message type of an `Event` without these fields, which are named like `EventUser.user_id`."""
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    del file.service[:]
    for message in file.message_type:
        _drop(message, message.name, without)
    pool = descriptor_pool.DescriptorPool()
    for dependency in pb.DESCRIPTOR.dependencies:
        pool.AddSerializedFile(dependency.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(pb.Event.DESCRIPTOR.full_name))


def _drop(message: descriptor_pb2.DescriptorProto, name: str, without: frozenset[str]) -> None:
    if message.options.map_entry:
        return
    for position in reversed(range(len(message.field))):
        field = message.field[position]
        # Irrelevant for this check, and a oneof without fields would be invalid.
        field.ClearField("oneof_index")
        field.ClearField("proto3_optional")
        if f"{name}.{field.name}" in without:
            del message.field[position]
    del message.oneof_decl[:]
    for nested in message.nested_type:
        _drop(nested, f"{name}.{nested.name}", without)


def foreign_field(serialized: bytes, kind: type[Message]) -> str | None:
    """Return which field of a serialized event is not in `kind`, as text without values; None if all are known."""
    event = kind()
    event.ParseFromString(serialized)
    whole = event.ByteSize()
    event.DiscardUnknownFields()
    if event.ByteSize() == whole:
        return None
    event.ParseFromString(serialized)
    return _name(event, pb.Event.DESCRIPTOR, ()) or "a field that is not in the schema is still set"


def _name(message: Message, full: Descriptor, path: tuple[str, ...]) -> str | None:
    unknown = UnknownFieldSet(message)
    if len(unknown):
        field = full.fields_by_number.get(unknown[0].field_number)
        if field is None:
            return f"{full.name} still has unknown fields"
        return f"{'.'.join((*path, field.name))} is still set"
    for field, value in message.ListFields():
        below = full.fields_by_name[field.name].message_type
        if isinstance(value, Message) and below is not None:
            found = _name(value, below, (*path, field.name))
            if found is not None:
                return found
    return None
