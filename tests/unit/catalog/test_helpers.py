import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import (
    BillingMetadata,
    Catalog,
    CatalogEntry,
    EventBuilder,
    MetadataKey,
    MetadataKind,
    NewEvent,
    parse_catalog,
)
from telemetry_catalog import UnnameableEventError, generate_helpers, helper_name
from telemetry_catalog.helpers import identifier

CATALOG = parse_catalog(
    """
[[event]]
feature = "search.results"
action = "submit"
owner = "search team"
description = 'A "person" submitted a \\\\search.'
version = 2
metadata.results = { meaning = "How many were found.", kind = "count", required = false }
metadata.durationMs = "Milliseconds."
metadata.first = { meaning = "The first one?", kind = "flag" }
private_metadata.query = "What was typed."
private_metadata."*" = "The rest."

[[event]]
feature = "editor"
action = "import"
owner = "editor team"
description = "Imported."
deprecated = "Use editor.load."
private_metadata."*" = "Anything."

[[event]]
feature = "web"
action = "opened"
owner = "web team"
description = "Opened."
recorded_by = "the web app"
"""
)


def helpers(catalog: Catalog) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(generate_helpers(catalog), "events.py", "exec"), names)
    return names


def test_a_helper_builds_its_event() -> None:
    made = helpers(CATALOG)
    event = made["search_results_submit"](
        duration_ms=1.5,
        first=True,
        private_query="x",
        private_metadata={"page": 2, "none": None},
        billing_metadata=BillingMetadata("p", "c"),
    )
    assert isinstance(event, NewEvent)
    assert event.parameters is not None
    assert (event.feature, event.action, event.parameters.version) == ("search.results", "submit", 2)
    assert event.parameters.metadata == {"durationMs": 1.5, "first": True}
    assert event.parameters.private_metadata == {"query": "x", "page": 2, "none": None}
    assert event.parameters.billing_metadata == BillingMetadata("p", "c")
    assert made["search_results_submit"](duration_ms=1, first=False, results=0).parameters.metadata["results"] == 0
    assert made["search_results_submit"](duration_ms=1, first=False).parameters.private_metadata is None
    assert made["editor_import"](private_metadata={"a": 1}).parameters.private_metadata == {"a": 1}
    assert made["editor_import"]().parameters.private_metadata is None


def test_events_of_other_programs_get_no_helper() -> None:
    assert "web_opened" not in helpers(CATALOG)


def test_a_helper_documents_its_event() -> None:
    made = helpers(CATALOG)
    text = inspect.cleandoc(made["search_results_submit"].__doc__)
    assert text.startswith(
        "A 'person' submitted a \\\\search.\n\nRecorded as `search.results`, `submit`. Owner: search"
    )
    assert "duration_ms: Milliseconds.\n" in text
    assert "private_query: What was typed. Private.\n" in text
    assert "Deprecated: Use editor.load." in made["editor_import"].__doc__


def test_helpers_are_fully_typed(tmp_path: Path) -> None:
    (tmp_path / "events.py").write_text(generate_helpers(CATALOG))
    (tmp_path / "use.py").write_text(
        "from events import *\n"
        "search_results_submit(duration_ms=1.5, first=True, results=None)\n"
        "search_results_submit(duration_ms=1.5)\n"
        "search_results_submit(duration_ms='1', first=True)\n"
        "search_results_submit(duration_ms=1, first=True, results=0.5)\n"
        "search_results_sumbit(duration_ms=1, first=True)\n"
        "search_results_submit(duration_ms=1, first=True, private_query={1, 2})\n"
        "editor_import(query='x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "use.py", "events.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert {line.split(":")[1] for line in complaints} == {"3", "4", "5", "6", "7", "8"}, done.stdout
    assert all(line.startswith("use.py:") for line in complaints), done.stdout


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("search.results.submit", "search_results_submit"),
        ("searchResults", "search_results"),
        ("durationMs", "duration_ms"),
        ("first time", "first_time"),
        ("class", "class_"),
        ("match", "match_"),
        ("HTTPStatus", "httpstatus"),
        ("a-b--c.", "a_b_c"),
    ],
)
def test_names_become_python_identifiers(text: str, name: str) -> None:
    assert identifier(text) == name


def entry(feature: str = "search", action: str = "submit", **more: Any) -> CatalogEntry:
    return CatalogEntry(feature=feature, action=action, owner="o", description="d", origin="line 1", **more)


@pytest.mark.parametrize(
    ("catalog", "problem"),
    [
        (
            Catalog([entry("search.a", "bc"), entry("search", "a.bc")]),
            "line 1: the event 'search.a, bc' and 'search, a.bc' would both be search_a_bc in Python",
        ),
        (
            Catalog([entry(metadata={"aB": MetadataKey("m"), "a_b": MetadataKey("m")})]),
            "line 1: the key 'a_b' and 'aB' would both be a_b in Python",
        ),
        (Catalog([entry(metadata={"1st": MetadataKey("m")})]), "line 1: the key '1st' cannot be a Python identifier"),
        (Catalog([entry(metadata={"id": MetadataKey("m")})]), "line 1: the key 'id' and 'id' would both be id"),
        (Catalog([entry(metadata={"ä": MetadataKey("m")})]), "line 1: the key 'ä' cannot be a Python identifier"),
    ],
)
def test_duplicate_or_invalid_python_names_are_rejected(catalog: Catalog, problem: str) -> None:
    with pytest.raises(UnnameableEventError) as caught:
        generate_helpers(catalog)
    assert str(caught.value).startswith(problem)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(str.strip)
KEYS = st.from_regex(r"[a-z]{3,8}", fullmatch=True).map(lambda word: f"k{word}")
ENTRIES = st.builds(
    CatalogEntry,
    feature=st.from_regex(r"[a-z][a-z.]{1,8}", fullmatch=True),
    action=st.from_regex(r"[a-z]{2,8}", fullmatch=True),
    owner=TEXTS,
    description=TEXTS,
    version=st.integers(0, 9),
    metadata=st.dictionaries(KEYS, st.builds(MetadataKey, TEXTS, st.sampled_from(MetadataKind), st.booleans())),
    private_metadata=st.dictionaries(KEYS | st.just("*"), TEXTS),
    deprecated=st.none() | TEXTS,
)


@given(ENTRIES, st.data())
@settings(max_examples=50)
def test_events_of_helpers_match_the_catalogue(made: CatalogEntry, data: st.DataObject) -> None:
    catalog = Catalog([made])
    source = generate_helpers(catalog)
    ast.parse(source)
    values = {MetadataKind.NUMBER: st.floats(-1e9, 1e9), MetadataKind.COUNT: st.integers(0, 99)}
    arguments: dict[str, Any] = {
        identifier(key): data.draw(values.get(known.kind, st.booleans()))
        for key, known in made.metadata.items()
        if known.required or data.draw(st.booleans())
    }
    arguments |= {f"private_{key}": "x" for key in made.private_metadata if key != "*"}
    event = helpers(catalog)[helper_name(made)](**arguments)
    assert EventBuilder("1", catalog=catalog).build(event).feature == made.feature
