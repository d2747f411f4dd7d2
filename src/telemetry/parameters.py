"""The parameters of an event, and the rules for them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from telemetry.conversion import json_wanted, number_wanted
from telemetry.errors import (
    EventTooLargeError,
    InvalidInputError,
    InvalidMetadataError,
    InvalidParametersError,
    InvalidPrivateMetadataError,
)
from telemetry.text import check_text, text_problem
from telemetry.v1 import telemetrygateway_pb2 as pb

JSONValue: TypeAlias = "bool | int | float | str | Sequence[JSONValue] | Mapping[str, JSONValue] | None"
"""The type of values in `private_metadata`, at any level."""

MAX_METADATA_KEY_LENGTH = 128
MAX_PRIVATE_METADATA_DEPTH = 16
MAX_EXACT_INT = 2**53
MAX_BILLING_TEXT_LENGTH = 512

_EXACT_INT_RULE = "an integer beyond 2^53 is not held exactly by a double, which is the wire's number"
_FINITE_RULE = "NaN and infinities are not numbers that can be exported"
_LEAVE_OUT = "leave the key out"
_AS_TEXT = "pass it as text"
_INT32 = range(-(2**31), 2**31)
# SECURITY: a key that is a name is shown in errors; any other may be data, and is only counted.
_NAMEABLE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,127}")


_Step: TypeAlias = int | tuple[int, str]
# From the outermost value in: a position counted from 1, in a mapping together with its key.
_Path: TypeAlias = tuple[_Step, ...]


@dataclass(frozen=True, slots=True)
class BillingMetadata:
    """The billing product and category of an event.

    Attributes:
        product: The product that is billed.
        category: The billing category.
    """

    product: str
    category: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EventParameters:
    """The parameters of an event.

    Checked when the event is recorded, not here: building parameters never fails.

    Attributes:
        version: The version of this event type's parameters, counted by its owner; 32 bits.
        metadata: Numbers that always may be exported. Keys have 1 to 128 characters; `bool`
            becomes 1 or 0.
        private_metadata: Anything like JSON, at most 16 levels deep. Not exported
            except for keys on the allowlist.
        billing_metadata: Product and category, for billable events.
    """

    version: int = 0
    metadata: Mapping[str, float | int | bool] | None = None
    private_metadata: Mapping[str, JSONValue] | None = None
    billing_metadata: BillingMetadata | None = None

    def __repr__(self) -> str:
        # SECURITY: tracebacks show it, and what breaks a rule may hold anything in any of its parts.
        return "EventParameters(...)"


def write_parameters(parameters: EventParameters, target: pb.EventParameters, *, max_bytes: int) -> None:
    """Check `parameters` and write them into the wire message.

    Checking and writing go together so that what was checked is what is stored, even when
    another thread changes a mapping meanwhile.

    Args:
        parameters: What the caller gave.
        target: The event's own parameters.
        max_bytes: Where to stop: a small structure that shares its parts can unfold to any size.

    Raises:
        InvalidParametersError: A parameter is invalid; the message names it, but never its value.
        EventTooLargeError: They are certainly larger than `max_bytes`.
    """
    if not isinstance(parameters, EventParameters):
        raise InvalidParametersError("parameters", f"must be EventParameters, not {type(parameters).__name__}")
    try:
        _write(parameters, target, max_bytes)
    except InvalidInputError:
        raise
    except Exception as error:  # noqa: BLE001 - a mapping is the caller's code, and may change meanwhile
        problem = f"could not be read ({type(error).__name__})"
    else:
        return
    # SECURITY: raised outside the handler: the caller's own error may quote a value.
    raise InvalidParametersError("parameters", problem)


def _write(parameters: EventParameters, target: pb.EventParameters, max_bytes: int) -> None:
    version = parameters.version
    if isinstance(version, bool) or not isinstance(version, int) or version not in _INT32:
        raise InvalidParametersError("version", "must be an integer of 32 bits")
    target.version = version
    if parameters.metadata is not None:
        _write_metadata(parameters.metadata, target)
    if parameters.private_metadata is not None:
        if not isinstance(parameters.private_metadata, Mapping):
            raise InvalidPrivateMetadataError(
                "private_metadata", f"must be a mapping, not {type(parameters.private_metadata).__name__}"
            )
        target.private_metadata.SetInParent()
        _PrivateMetadataWriter(max_bytes).write_struct(parameters.private_metadata, target.private_metadata, 1, ())
    if parameters.billing_metadata is not None:
        _write_billing(parameters.billing_metadata, target.billing_metadata)


def _write_metadata(metadata: Mapping[str, float | int | bool], target: pb.EventParameters) -> None:
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError("metadata", f"must be a mapping, not {type(metadata).__name__}")
    written = target.metadata
    for position, (key, value) in enumerate(metadata.items()):
        if not isinstance(key, str):
            raise InvalidMetadataError(f"metadata, key {position + 1}", _key_problem(key))
        if not 1 <= len(key) <= MAX_METADATA_KEY_LENGTH:
            raise InvalidMetadataError(
                f"metadata, key {position + 1}",
                f"must have 1 to {MAX_METADATA_KEY_LENGTH} characters, has {len(key)}",
            )
        if problem := text_problem(key):
            raise InvalidMetadataError(f"metadata, key {position + 1}", problem)
        if problem := number_problem(value):
            raise InvalidMetadataError(metadata_field(position, key), problem)
        written[key] = float(value)


def metadata_field(position: int, key: str) -> str:
    """Return the name of the key at `position`, counted from 0, for errors: the key itself if it is a name."""
    shown = shown_key(key)
    return f"metadata, value {position + 1}" if shown is None else f"metadata[{shown}]"


def number_problem(value: object) -> str | None:
    """Return what is wrong with a value of `metadata`; None if it is a number that can be exported exactly."""
    if isinstance(value, int):  # bool is an int, and 1 or 0
        exact = -MAX_EXACT_INT <= value <= MAX_EXACT_INT
        return None if exact else f"{_EXACT_INT_RULE}; {_AS_TEXT} in private_metadata"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{_FINITE_RULE}; {_LEAVE_OUT}"
    if isinstance(value, str):
        return "must be a number, not text; text belongs into private_metadata"
    return number_wanted(value)


def _json_number_problem(value: float) -> str | None:
    if number_problem(value) is None:
        return None
    return f"{_EXACT_INT_RULE}; {_AS_TEXT}" if isinstance(value, int) else f"{_FINITE_RULE}; pass None or text"


def _key_problem(key: object) -> str:
    return f"must be text, not {type(key).__name__}; convert it with str(key)"


class _PrivateMetadataWriter:
    """Writes private metadata into a Struct, as far as it fits.

    Args:
        max_bytes: The most that may be written, counted low: each value is two bytes at least.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._written = 0

    def write_struct(self, mapping: Mapping[str, JSONValue], target: Struct, depth: int, path: _Path) -> None:
        fields = target.fields
        for position, (key, value) in enumerate(mapping.items(), start=1):
            if not isinstance(key, str):
                raise _private_error((*path, position), f"a key {_key_problem(key)}")
            self._count(len(key))
            if problem := text_problem(key):
                raise _private_error((*path, position), f"in a key: {problem}")
            self._write_value(value, fields[key], depth, (*path, (position, key)))

    def _write_list(self, values: Sequence[JSONValue], target: ListValue, depth: int, path: _Path) -> None:
        for position, value in enumerate(values):
            self._write_value(value, target.values.add(), depth, (*path, position + 1))

    def _write_value(self, value: object, target: Value, depth: int, path: _Path) -> None:
        self._count(2)
        if isinstance(value, str):
            self._count(len(value))
            if problem := text_problem(value):
                raise _private_error(path, problem)
            target.string_value = value
        elif isinstance(value, bool):
            target.bool_value = value
        elif isinstance(value, int | float):
            if problem := _json_number_problem(value):
                raise _private_error(path, problem)
            target.number_value = value
        elif value is None:
            target.null_value = 0  # type: ignore[assignment]  # NULL_VALUE, the enum's only member
        elif isinstance(value, Mapping | list | tuple):
            if depth == MAX_PRIVATE_METADATA_DEPTH:
                raise _private_error(path[:1], f"must be at most {MAX_PRIVATE_METADATA_DEPTH} levels deep")
            if isinstance(value, Mapping):
                target.struct_value.SetInParent()
                self.write_struct(value, target.struct_value, depth + 1, path)
            else:
                target.list_value.SetInParent()
                self._write_list(value, target.list_value, depth + 1, path)
        else:
            raise _private_error(path, json_wanted(value))

    def _count(self, size: int) -> None:
        self._written += size
        if self._written > self._max_bytes:
            raise EventTooLargeError("event", f"is more than {self._max_bytes} bytes serialized")


def _private_error(path: _Path, problem: str) -> InvalidPrivateMetadataError:
    return InvalidPrivateMetadataError("private_metadata" + "".join(map(_place, path)), problem)


def _place(step: _Step) -> str:
    position, key = (step, "") if isinstance(step, int) else step
    return f"[{shown_key(key) or f'item {position}'}]"


def shown_key(key: str) -> str | None:
    """Return a key as shown in errors; None if it is not a name."""
    name = _NAMEABLE_KEY.fullmatch(key)
    return repr(name.group()) if name else None  # not the key's own `repr`: an enum's holds more


def _write_billing(billing: BillingMetadata, target: pb.EventBillingMetadata) -> None:
    if not isinstance(billing, BillingMetadata):
        raise InvalidParametersError("billing_metadata", f"must be BillingMetadata, not {type(billing).__name__}")
    for name in ("product", "category"):
        text = check_text(
            f"billing_metadata.{name}",
            getattr(billing, name),
            InvalidParametersError,
            min_length=1,
            max_length=MAX_BILLING_TEXT_LENGTH,
        )
        setattr(target, name, text)
