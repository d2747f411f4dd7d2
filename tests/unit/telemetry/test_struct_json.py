"""What JSON holds for a struct is what protobuf's own mapping says."""

import json
import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from telemetry.struct_json import number_to_json, struct_to_json

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 3.0, 2.0**53, -(2.0**60)])
VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=3))
def test_it_agrees_with_protobuf(values: dict[str, Any]) -> None:
    struct = Struct()
    struct.update(values)
    assert struct_to_json(struct) == MessageToDict(struct)


def test_a_whole_number_has_no_fraction_and_minus_zero_keeps_its_sign() -> None:
    assert json.dumps([number_to_json(value) for value in (3.0, 0.0, -0.0, 0.5)]) == "[3, 0, -0.0, 0.5]"
    assert isinstance(number_to_json(2.0**53 + 2), float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_rejected(value: float) -> None:
    with pytest.raises(ValueError, match="not valid JSON"):
        number_to_json(value)
