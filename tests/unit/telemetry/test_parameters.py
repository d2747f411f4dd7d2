import math
import traceback
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from telemetry import (
    BillingMetadata,
    EventParameters,
    EventTooLargeError,
    InvalidInputError,
    InvalidMetadataError,
    InvalidParametersError,
    InvalidPrivateMetadataError,
    NewEvent,
)
from telemetry.parameters import write_parameters
from telemetry.v1 import telemetrygateway_pb2 as pb

CANARY = "CANARY-71f3"


def written(parameters: Any) -> pb.EventParameters:
    target = pb.EventParameters()
    write_parameters(parameters, target, max_bytes=65_536)
    return target


def refusal(error: type[InvalidInputError], **parameters: Any) -> str:
    with pytest.raises(error) as caught:
        written(EventParameters(**parameters))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in shown
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def nested(levels: int, *, in_list: bool = False) -> Any:
    value: Any = "end"
    for level in range(levels):
        value = [value] if in_list and level % 2 == 0 and level < levels - 1 else {"k": value}
    return value


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (True, 1.0),
        (False, 0.0),
        (0, 0.0),
        (-3, -3.0),
        (2**53, 2.0**53),
        (-(2**53), -(2.0**53)),
        (1.5, 1.5),
        (5e-324, 5e-324),
    ],
)
def test_numbers_are_stored_exactly(value: float, stored: float) -> None:
    assert dict(written(EventParameters(metadata={"k": value})).metadata) == {"k": stored}


NOT_EXACT = "an integer beyond 2^53 is not held exactly by a double, which is the wire's number; pass it as text"
NOT_FINITE = "NaN and infinities are not numbers that can be exported"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (2**53 + 1, f"{NOT_EXACT} in private_metadata"),
        (-(2**53) - 1, f"{NOT_EXACT} in private_metadata"),
        (10**400, f"{NOT_EXACT} in private_metadata"),
        (math.nan, f"{NOT_FINITE}; leave the key out"),
        (math.inf, f"{NOT_FINITE}; leave the key out"),
        (-math.inf, f"{NOT_FINITE}; leave the key out"),
        (CANARY, "must be a number, not text; text belongs into private_metadata"),
    ],
)
def test_other_values_of_metadata_are_refused_with_the_key(value: object, problem: str) -> None:
    assert refusal(InvalidMetadataError, metadata={"durationMs": value}) == f"metadata['durationMs']: {problem}"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "must have 1 to 128 characters, has 0"),
        ("k" * 129, "must have 1 to 128 characters, has 129"),
        ("a\0b", "text must not contain NUL (U+0000), which PostgreSQL cannot store"),
        ("a\ud800", "text must not contain lone surrogates, which UTF-8 cannot encode"),
        (5, "must be text, not int; convert it with str(key)"),
    ],
)
def test_bad_keys_of_metadata_are_counted_not_repeated(key: object, problem: str) -> None:
    assert refusal(InvalidMetadataError, metadata={"ok": 1, key: 1}) == f"metadata, key 2: {problem}"


def test_a_key_that_is_not_a_name_is_not_repeated_in_the_error() -> None:
    text = refusal(InvalidMetadataError, metadata={f"mail {CANARY}@example.com": math.nan})
    assert text.startswith("metadata, value 1: NaN")


@pytest.mark.parametrize("key", ["k", "k" * 128, "ключ", "🔑", "with space"])
def test_keys_of_1_to_128_characters_are_taken(key: str) -> None:
    assert dict(written(EventParameters(metadata={key: 1})).metadata) == {key: 1.0}


@pytest.mark.parametrize("field", ["metadata", "private_metadata"])
def test_only_mappings_are_accepted(field: str) -> None:
    assert refusal(InvalidParametersError, **{field: [1]}) == f"{field}: must be a mapping, not list"


def test_sixteen_levels_are_taken_and_seventeen_refused() -> None:
    written(EventParameters(private_metadata=nested(16)))
    written(EventParameters(private_metadata=nested(16, in_list=True)))
    for seventeen in (nested(17), nested(17, in_list=True)):
        text = refusal(InvalidPrivateMetadataError, private_metadata={"first": 1} | seventeen)
        assert text == "private_metadata['k']: must be at most 16 levels deep"


def test_a_mapping_that_holds_itself_ends_at_the_depth_limit() -> None:
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    assert "16 levels" in refusal(InvalidPrivateMetadataError, private_metadata=cyclic)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({f"{CANARY} {CANARY}": {"x": math.nan}}, f"private_metadata[item 1]['x']: {NOT_FINITE}; pass None or text"),
        ({"a": [0, f"{CANARY}\0"]}, "private_metadata['a'][item 2]: text must not contain NUL"),
        ({"a": f"{CANARY}\udfff"}, "private_metadata['a']: text must not contain lone surrogates"),
        ({f"{CANARY}\0": 1}, "private_metadata[item 1]: in a key: text must not contain NUL"),
        ({"a": {1: CANARY}}, "private_metadata['a'][item 1]: a key must be text, not int; convert it with str(key)"),
        ({"a": [{"b": 2**53 + 1}]}, f"private_metadata['a'][item 1]['b']: {NOT_EXACT}"),
        ({"ok": 1, f"{CANARY}@example.com": {1}}, "private_metadata[item 2]: must be str, int"),
        ({"k" * 128: {1}}, f"private_metadata['{'k' * 128}']: must be str, int"),
        ({"k" * 129: {1}}, "private_metadata[item 1]: must be str, int"),
        ({"k\n": {1}}, "private_metadata[item 1]: must be str, int"),
    ],
)
def test_what_is_not_json_is_refused_by_its_place_alone(value: Any, text: str) -> None:
    assert refusal(InvalidPrivateMetadataError, private_metadata=value).startswith(text)


def test_a_key_is_shown_as_its_text_alone() -> None:
    class Key(str):
        __slots__ = ()

        def __repr__(self) -> str:
            return CANARY

    assert refusal(InvalidMetadataError, metadata={Key("total"): "x"}).startswith("metadata['total']: ")
    assert refusal(InvalidPrivateMetadataError, private_metadata={Key("total"): {1}}).startswith(
        "private_metadata['total']: "
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé🔑", max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abcdefgh", max_size=6), JSON, max_size=5))
def test_private_metadata_comes_back_as_it_was(document: dict[str, Any]) -> None:
    def as_wire(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_wire(item) for key, item in value.items()}
        if isinstance(value, list):
            return [as_wire(item) for item in value]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    target = written(EventParameters(private_metadata=document))
    assert target.HasField("private_metadata")
    assert MessageToDict(target.private_metadata) == as_wire(document)


@pytest.mark.parametrize("version", [2**31, -(2**31) - 1, True, "1", 1.0])
def test_a_version_that_is_no_32_bit_integer_is_refused(version: Any) -> None:
    assert refusal(InvalidParametersError, version=version) == "version: must be an integer of 32 bits"


@pytest.mark.parametrize(
    ("billing", "text"),
    [
        (BillingMetadata("", "c"), "billing_metadata.product: must not be empty"),
        (BillingMetadata("p", "c" * 513), "billing_metadata.category: must have at most 512 characters, has 513"),
        (BillingMetadata("p", f"{CANARY}\0"), "billing_metadata.category: text must not contain NUL"),
        (BillingMetadata("p", 5), "billing_metadata.category: must be text, not int"),  # type: ignore[arg-type]
        ({"product": CANARY}, "billing_metadata: must be BillingMetadata, not dict"),
    ],
)
def test_bad_billing_metadata_is_refused(billing: Any, text: str) -> None:
    assert refusal(InvalidParametersError, billing_metadata=billing).startswith(text)


def test_parameters_of_another_kind_are_refused() -> None:
    with pytest.raises(InvalidParametersError, match="parameters: must be EventParameters, not dict"):
        written({"metadata": {}})


def test_a_small_structure_that_unfolds_to_any_size_is_refused_before_it_does() -> None:
    bomb: Any = "x" * 100
    for _ in range(14):
        bomb = [bomb] * 50
    with pytest.raises(EventTooLargeError, match="event: is more than 65536 bytes serialized"):
        written(EventParameters(private_metadata={"a": bomb}))


def test_a_mapping_whose_own_code_fails_is_bad_input_without_its_text() -> None:
    class Explosive(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError(CANARY)

    text = refusal(InvalidParametersError, private_metadata=Explosive(a=1))
    assert text == "parameters: could not be read (RuntimeError)"


def test_billing_metadata_is_stored() -> None:
    billing = written(EventParameters(billing_metadata=BillingMetadata("p", "c"))).billing_metadata
    assert (billing.product, billing.category) == ("p", "c")


def test_private_values_are_not_shown_by_repr() -> None:
    broken: Any = EventParameters(version=CANARY, metadata={CANARY: CANARY}, private_metadata={"a": CANARY})  # type: ignore[arg-type,dict-item]
    assert CANARY not in repr(broken)
    assert CANARY not in repr(NewEvent.with_run_time_names("search", CANARY, broken, id=CANARY))
    assert repr(NewEvent("search", "submit", broken)) == "NewEvent('search', 'submit', ...)"
