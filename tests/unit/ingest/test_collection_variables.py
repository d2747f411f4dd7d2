import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_ingest.collection.nesting import MAX_LEVELS, text_is_too_deep, value_is_too_deep
from telemetry_ingest.collection.partial_json import read_object
from telemetry_ingest.collection.variables import KeptVariables, Reading

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)  # of larger ones, a whole body is read as floats
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(
    declared: list[str], path: dict[str, str] | None = None, query: str = "", body: Any = None
) -> tuple[dict[str, str], int, int]:
    found = KeptVariables(declared).read(path or {}, query, b"" if body is None else json.dumps(body).encode())
    return dict(found.kept), found.undeclared, found.unstorable


def test_the_path_overrides_the_query_and_the_query_the_body() -> None:
    body = {"a": "body", "b": "body", "c": "body"}
    found = read(["a", "b", "c"], {"a": "path"}, "a=query&b=query&b=second", body)
    assert found == ({"a": "path", "b": "second", "c": "body"}, 0, 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("17", "17"),
        (17, "17"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (["a", 1], '["a",1]'),
        ({"b": "gr\u00fcn"}, '{"b":"gr\u00fcn"}'),
        (2**53, "9007199254740992"),
    ],
)
def test_values_are_stored_as_text(value: Any, text: str) -> None:
    assert read(["a"], body={"a": value}) == ({"a": text}, 0, 0)


@pytest.mark.parametrize("behind", [b"", b"cut"])
def test_a_deeply_nested_value_is_dropped_alone(behind: bytes) -> None:
    for opening, end in ((b"[", b"]"), (b'{"c":', b"}")):
        deep = opening * (MAX_LEVELS + 1) + b"0" + end * (MAX_LEVELS + 1)
        found = KeptVariables(["a", "b"]).read({}, "b=1", b'{"a":' + deep + b"}" + behind)
        assert found.kept == {"b": "1"}


@pytest.mark.interpreter
@pytest.mark.parametrize("behind", [b"", b"cut"])
@pytest.mark.parametrize("levels", [1, MAX_LEVELS, MAX_LEVELS + 1, 1_000, 1_010, 1_100, 9_000])
def test_the_nesting_limit_does_not_depend_on_the_interpreter(levels: int, behind: bytes) -> None:
    deep = "[" * levels + "]" * levels

    found = KeptVariables(["a"]).read({}, "", b'{"a":' + deep.encode() + b"}" + behind)

    assert found.kept == ({"a": deep} if levels <= MAX_LEVELS else {})


@given(st.recursive(st.text(max_size=3), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner)))
def test_values_and_their_json_have_the_same_depth(value: Any) -> None:
    for _ in range(MAX_LEVELS - 2):
        value = [value]
    if isinstance(value, list | dict):
        assert text_is_too_deep(json.dumps(value), 0) == value_is_too_deep(value)


@pytest.mark.parametrize("text", ['["' + "[" * 200, '["\\"' + "[" * 200 + '"]', '["\\', "[]" + "[" * 200])
def test_brackets_in_strings_or_after_the_value_are_not_levels(text: str) -> None:
    assert not text_is_too_deep(text, 0)


def test_nested_keys_have_dots_and_undeclared_ones_are_counted() -> None:
    declared = ["info.parent.name", "whole", "info.root"]
    body = {"info": {"parent": {"name": "n", "x": 1}, "root": {"y": 2}, "z": 3}, "whole": {"k": 1}, "other": {"a": 1}}
    expected = {"info.parent.name": "n", "info.root": '{"y":2}', "whole": '{"k":1}'}
    assert read(declared, query="q=1&whole", body=body) == (expected | {"whole": ""}, 4, 0)
    assert read(declared, body={"info": "text"}) == ({}, 1, 0)
    assert read(declared, body={"info.root": "flat"}) == ({"info.root": "flat"}, 0, 0)


def test_unstorable_values_are_dropped_and_counted() -> None:
    kept = KeptVariables(["a", "b", "c"])
    # Strictly speaking, a body with half a surrogate pair is not valid JSON.
    body = b'{"b": "\\ud800", "c": "fine"}'
    assert kept.read({"a": "x\0"}, "", body) == Reading({"c": "fine"}, 0, 2, whole_body=False)
    assert kept.read({}, "a=%00&c=%FF", b"") == Reading({"c": "\N{REPLACEMENT CHARACTER}"}, 0, 1, whole_body=True)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": 1, "b": {"c": "x", "d": "cut', {"a": 1, "b": {"c": "x"}}),
        (b'{"a": 1, "b": {"c": "x"}', {"a": 1, "b": {"c": "x"}}),
        (b'{"a": 1, "b": {"c": "x"}}', {"a": 1, "b": {"c": "x"}}),
        (b'{"a": {}, "b": [1, 2', {"a": {}}),
        (b'{"a": [1, 2], "b', {"a": [1, 2]}),
        (b'{"a": 12', {}),
        (b'{"a": 1e+1, "b": 1e+', {"a": 10.0}),
        (b'{"a": true', {"a": True}),
        (b'{"a": tru', {}),
        (b'{"a": "x" "b": 1}', {"a": "x"}),
        (b'{"a": "x", 5: 1}', {"a": "x"}),
        (b'{"a": NaN, "b": 1}', {}),
        (b' { "a" : "x" , } ', {"a": "x"}),
        (b'{"a": "gr\xc3\xbcn", "b": "\xc3', {"a": "gr\u00fcn"}),
        (b'{"a": "\xff", "b": 1}', {}),
        (b"{", {}),
        (b"", {}),
        (b"[1]", {}),
        (b'"text"', {}),
        (b"version=1", {}),
        (b'{"a": ' + b"[" * 60_000, {}),
        (b'{"x": 1, ' + b"[" * 60_000, {"x": 1}),
        (b'{"x":1,"a":' * 5_000, {"x": 1}),
    ],
)
def test_a_truncated_body_is_read_partially(body: bytes, found: dict[str, Any]) -> None:
    read, whole = read_object(body)
    if body.startswith(b'{"x"'):  # too deep to be compared, or to be read to its end
        read = {"x": read["x"]}
    assert read == found
    assert whole == (body == b'{"a": 1, "b": {"c": "x"}}')


@given(st.dictionaries(st.text(), json_values, max_size=4), st.data())
def test_values_of_a_truncated_body_equal_those_of_the_whole(document: dict[str, Any], data: st.DataObject) -> None:
    body = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode()
    read, _ = read_object(body[: data.draw(st.integers(0, len(body)))])
    assert _inside(read, document)


def _inside(part: dict[str, Any], whole: dict[str, Any]) -> bool:
    return all(
        key in whole
        and (
            value == whole[key]
            or (isinstance(value, dict) and isinstance(whole[key], dict) and _inside(value, whole[key]))
        )
        for key, value in part.items()
    )


@given(st.binary(max_size=200), st.text(max_size=50))
def test_random_requests_are_read(body: bytes, query: str) -> None:
    kept = KeptVariables(["a", "b.c", query]).read({"a": query}, query, body).kept
    assert all(isinstance(value, str) for value in kept.values())
