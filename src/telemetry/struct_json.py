"""Protobuf's JSON mapping for numbers and for `Struct`."""

import math
from typing import Any, Final

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from telemetry.parameters import MAX_EXACT_INT

_MAX_EXACT: Final = float(MAX_EXACT_INT)


def struct_to_json(struct: Struct) -> dict[str, Any]:
    """Return what JSON holds for a struct.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    fields = struct.fields
    return {key: _value(fields[key]) for key in fields}


def number_to_json(value: float) -> float | int:
    """Return what JSON holds for a number: 3, not 3.0, as far as doubles count whole numbers one by one.

    Raises:
        ValueError: It is NaN or infinite.
    """
    if value.is_integer():  # larger ones stay as they are: not every reader takes such integers
        is_minus_zero = value == 0 and math.copysign(1, value) < 0
        return value if abs(value) > _MAX_EXACT or is_minus_zero else int(value)
    if value - value != 0:
        raise ValueError("NaN and infinity are not valid JSON")
    return value


def _value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return number_to_json(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return struct_to_json(value.struct_value)
    if kind == "list_value":
        return _list(value.list_value)
    return None


def _list(value: ListValue) -> list[Any]:
    return [_value(inner) for inner in value.values]
