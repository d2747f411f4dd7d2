"""What an error says about a value that an event cannot hold: the key, what is accepted, how to convert."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from telemetry import EventParameters, InvalidMetadataError, InvalidParametersError, InvalidPrivateMetadataError
from telemetry.parameters import write_parameters
from telemetry.v1 import telemetrygateway_pb2 as pb

CANARY = "CANARY-71f3"


class Color(Enum):
    RED = CANARY


class Size(IntEnum):
    LARGE = 3


class Kind(StrEnum):
    NEW = "new"


class _Scalar:
    """What numpy's scalars have in common; converting one fails here, as no error may look at the value."""

    def item(self) -> Any:
        raise AssertionError(CANARY)

    def tolist(self) -> Any:
        raise AssertionError(CANARY)

    def __float__(self) -> float:
        raise AssertionError(CANARY)

    def __int__(self) -> int:
        raise AssertionError(CANARY)

    def __str__(self) -> str:
        return CANARY

    __repr__ = __str__


class int64(_Scalar):  # noqa: N801 - numpy's names
    def __index__(self) -> int:
        raise AssertionError(CANARY)


class float32(_Scalar):  # noqa: N801
    pass


class bool_(_Scalar):  # noqa: N801
    def __bool__(self) -> bool:
        raise AssertionError(CANARY)


class datetime64(_Scalar):  # noqa: N801
    pass


class ndarray(_Scalar):  # noqa: N801
    def __iter__(self) -> Iterator[object]:
        raise AssertionError(CANARY)

    def __len__(self) -> int:
        raise AssertionError(CANARY)


@dataclass
class Order:
    number: str = CANARY


class Model:
    def model_dump(self, **_: object) -> dict[str, object]:
        raise AssertionError(CANARY)


class Opaque:
    def __repr__(self) -> str:
        return CANARY


NEW_BOOL = type("bool", (bool_,), {"__module__": "numpy"})
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def refusal(error: type[InvalidParametersError], **parameters: Any) -> str:
    with pytest.raises(error) as caught:
        write_parameters(EventParameters(**parameters), pb.EventParameters(), max_bytes=65_536)
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "name", "advice"),
    [
        (Decimal("1.5"), "Decimal", "convert it with float(value)"),
        (Fraction(1, 3), "Fraction", "convert it with float(value)"),
        (int64(), "int64", "convert it with int(value)"),
        (float32(), "float32", "convert it with float(value)"),
        (bool_(), "bool_", "convert it with bool(value)"),
        (NEW_BOOL(), "numpy.bool", "convert it with bool(value)"),
        (timedelta(seconds=3), "timedelta", "convert it with value.total_seconds()"),
        (NOON, "datetime", "convert it with value.timestamp(), or put value.isoformat() into private_metadata"),
        (date(2026, 3, 1), "date", "put value.isoformat() into private_metadata"),
        (time(12), "time", "put value.isoformat() into private_metadata"),
        (UUID(int=7), "UUID", "put str(value) into private_metadata"),
        (Color.RED, "Color", "convert it with value.value if that is a number, or put value.name into"),
        (None, "NoneType", "leave the key out"),
        (CANARY.encode(), "bytes", "text belongs into private_metadata"),
        ([1], "list", "structures belong into private_metadata"),
        ({"a": 1}, "dict", "structures belong into private_metadata"),
        (ndarray(), "ndarray", "structures belong into private_metadata"),
        (1j, "complex", "convert it to a number, or put str(value) into private_metadata"),
        (datetime64(), "datetime64", "convert it to a number, or put str(value) into private_metadata"),
        (Opaque(), "Opaque", "convert it to a number, or put str(value) into private_metadata"),
    ],
)
def test_metadata_says_how_to_make_a_number(value: object, name: str, advice: str) -> None:
    text = refusal(InvalidMetadataError, metadata={"ok": 1, "total_ms": value})
    assert text.startswith(f"metadata['total_ms']: must be a finite int, float or bool, not {name}; {advice}")


@pytest.mark.parametrize(
    ("value", "name", "call"),
    [
        (Decimal("1.5"), "Decimal", "str(value), or with float(value)"),
        (int64(), "int64", "int(value)"),
        (float32(), "float32", "float(value)"),
        (bool_(), "bool_", "bool(value)"),
        (NEW_BOOL(), "numpy.bool", "bool(value)"),
        (NOON, "datetime", "value.isoformat()"),
        (date(2026, 3, 1), "date", "value.isoformat()"),
        (timedelta(seconds=3), "timedelta", "value.total_seconds()"),
        (UUID(int=7), "UUID", "str(value)"),
        (Color.RED, "Color", "value.value or value.name"),
        (CANARY.encode(), "bytes", "value.decode() if it is text, or value.hex()"),
        ({CANARY}, "set", "list(value)"),
        (ndarray(), "ndarray", "value.tolist()"),
        (datetime64(), "datetime64", "str(value)"),
        (PurePosixPath(CANARY), "PurePosixPath", "str(value)"),
        (Order(), "Order", "dataclasses.asdict(value)"),
        (Model(), "Model", 'value.model_dump(mode="json")'),
        (Opaque(), "Opaque", "str(value)"),
    ],
)
@pytest.mark.parametrize(("in_list", "place"), [(False, "['total']"), (True, "['total'][item 1]")])
def test_private_metadata_says_how_to_make_json(value: object, name: str, call: str, in_list: bool, place: str) -> None:
    text = refusal(InvalidPrivateMetadataError, private_metadata={"total": [value] if in_list else value})
    accepted = "must be str, int, float, bool, None, or a list, tuple or mapping of these"
    assert text == f"private_metadata{place}: {accepted}, not {name}; convert it with {call}"


def test_enums_that_are_numbers_or_text_need_no_conversion() -> None:
    target = pb.EventParameters()
    parameters = EventParameters(metadata={"size": Size.LARGE}, private_metadata={"size": Size.LARGE, "kind": Kind.NEW})
    write_parameters(parameters, target, max_bytes=65_536)
    assert dict(target.metadata) == {"size": 3.0}
    assert (target.private_metadata["size"], target.private_metadata["kind"]) == (3.0, "new")
