import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telemetry.errors import InvalidNameError
from telemetry.names import check_name, is_valid_name

RULE = "must be 2 to 64 ASCII letters, dashes or dots, the first a lower-case letter (no digits, underscores or spaces)"


@pytest.mark.parametrize("name", ["ab", "search.results", "a-b", "aB", "a.", "a" * 64])
def test_valid_names_are_accepted(name: str) -> None:
    check_name("feature", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "A",
        "Ab",
        "abc\n",
        "\nabc",
        "a b",
        "a_b",
        "a1",
        "1a",
        ".ab",
        "-ab",
        "äb",
        "aß",
        "a" * 65,
        "a\x00b",
        "\u0430b",  # a Cyrillic letter
    ],
)
def test_invalid_names_are_rejected_without_quoting_them(name: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_name("action", name)
    assert str(caught.value) == f"action: {RULE}"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("name", "kind"), [(None, "NoneType"), (5, "int"), (b"search", "bytes")])
def test_names_other_than_text_are_rejected_with_their_type(name: object, kind: str) -> None:
    with pytest.raises(InvalidNameError, match=rf"given: {kind}, not text"):
        check_name("feature", name)


@given(st.text(max_size=70) | st.from_regex(r"[a-z][a-zA-Z\-.]{1,70}\n?"))
@example("abc\n")
def test_the_rule_is_the_contracts_expression(name: str) -> None:
    assert is_valid_name(name) == (re.fullmatch(r"[a-z][a-zA-Z\-\.]+", name) is not None and len(name) <= 64)
