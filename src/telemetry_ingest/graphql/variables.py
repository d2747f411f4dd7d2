"""Validates a request's variables, with messages that do not contain their values.

graphql-core validates them, too, but its messages quote values. Variables that pass here pass there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLLeafType,
    GraphQLSchema,
    OperationDefinitionNode,
    is_input_object_type,
    is_input_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
    type_from_ast,
)
from graphql.pyutils import Undefined

from telemetry_ingest.errors import InvalidRequestError

MAX_FAULTS: Final = 20
"""Maximum number of faults in a response."""

_MUST_BE: Final = {
    "Int": "must be a 32-bit integer",
    "Float": "must be a number",
    "String": "must be text",
    "ID": "must be text or an integer",
    "Boolean": "must be true or false",
    "DateTime": "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z",
}
# SECURITY: a name that is not an identifier can be any text, so errors give its position instead.
_NAMEABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class VariableFault(NamedTuple):
    """A value of the wrong type.

    Attributes:
        place: Path from the variable, of field names and indexes or keys of lists: `events[0].timestamp`.
        problem: The rule that is broken.
    """

    place: str
    problem: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


class InvalidVariablesError(InvalidRequestError):
    """Some variables have the wrong type.

    Attributes:
        faults: The first faults.
    """

    def __init__(self, faults: Sequence[VariableFault]) -> None:
        super().__init__("variables", "; ".join(map(str, faults)))
        self.faults = tuple(faults)


def check_variables(schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> None:
    """Check the variables of an operation.

    Args:
        schema: The schema that defines the types.
        operation: The operation that declares the variables; valid according to the schema.
        variables: The variables that the client sent.

    Raises:
        InvalidVariablesError: Some variables are invalid.
    """
    if faults := tuple(islice(_operations_faults(schema, operation, variables), MAX_FAULTS)):
        raise InvalidVariablesError(faults)


def _operations_faults(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> Iterator[VariableFault]:
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        declared = type_from_ast(schema, definition.type)
        if not is_input_type(declared):
            continue  # does not happen in a valid operation
        value = variables.get(name, Undefined)
        if value is Undefined and definition.default_value is not None:
            continue
        yield from _faults(value, declared, name)


def _faults(value: Any, type_: GraphQLInputType, place: str) -> Iterator[VariableFault]:
    if is_non_null_type(type_):
        if value is Undefined:
            yield VariableFault(place, "is required")
        elif value is None:
            yield VariableFault(place, "must not be null (JavaScript sends NaN and infinities as null)")
        else:
            yield from _faults(value, type_.of_type, place)
    elif value is None or value is Undefined:
        return
    elif is_list_type(type_):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _faults(item, type_.of_type, f"{place}[{_item_name(item) or index}]")
        else:
            yield from _faults(value, type_.of_type, place)
    elif is_input_object_type(type_):
        yield from _object_faults(value, type_, place)
    elif is_leaf_type(type_) and not _fits(value, type_):
        yield VariableFault(place, _MUST_BE.get(type_.name, f"must be of the type {type_.name}"))


def _object_faults(value: Any, type_: GraphQLInputObjectType, place: str) -> Iterator[VariableFault]:
    if not isinstance(value, dict):
        yield VariableFault(place, "must be an object")
        return
    for name, field in type_.fields.items():
        if name in value:
            yield from _faults(value[name], field.type, f"{place}.{name}")
        elif is_required_input_field(field):
            yield VariableFault(f"{place}.{name}", "is required")
    for position, name in enumerate(value):
        if name not in type_.fields:
            shown = repr(name) if _NAMEABLE.fullmatch(name) else f"number {position + 1}"
            yield VariableFault(place, f"has the unknown field {shown}; known are {', '.join(type_.fields)}")


def _item_name(item: Any) -> str | None:
    """Return the key of a metadata entry."""
    key = item.get("key") if isinstance(item, dict) else None
    return repr(key) if isinstance(key, str) and _NAMEABLE.fullmatch(key) else None


def _fits(value: Any, type_: GraphQLLeafType) -> bool:
    try:
        return type_.coerce_input_value(value) is not Undefined
    except Exception:  # noqa: BLE001 - any message may quote the value
        return False
