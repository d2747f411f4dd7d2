import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry import (
    Catalog,
    CatalogEntry,
    EventBuilder,
    EventParameters,
    InvalidCatalogError,
    InvalidInputError,
    InvalidMetadataError,
    InvalidPrivateMetadataError,
    MetadataKey,
    MetadataKind,
    NewEvent,
    UnknownEventError,
    parse_catalog,
)

HEAD = '[[event]]\nfeature = "search"\naction = "submit"\n'
TAIL = 'owner = "search team"\ndescription = "Submitted."\n'
GOOD = (
    HEAD
    + TAIL
    + """
version = 2
metadata.durationMs = "Milliseconds."
metadata.results = { meaning = " Found. ", kind = "count", required = false }
metadata."first.time" = { meaning = "The first one?", kind = "flag" }
private_metadata.query = "What was typed."

[[event]]
feature = "editor"
action = "opened"
owner = "editor team"
description = "Opened."
recorded_by = "vscode"
deprecated = "Use editor.window instead."
[event.private_metadata]
"*" = "Whatever the editor says."
"""
)
SECRET = "CANARY-CATALOG"


def test_entries_are_parsed_with_their_lines() -> None:
    first, second = parse_catalog(GOOD, "events.toml").entries
    assert first == CatalogEntry(
        feature="search",
        action="submit",
        owner="search team",
        description="Submitted.",
        version=2,
        metadata={
            "durationMs": MetadataKey("Milliseconds."),
            "results": MetadataKey("Found.", MetadataKind.COUNT, required=False),
            "first.time": MetadataKey("The first one?", MetadataKind.FLAG),
        },
        private_metadata={"query": "What was typed."},
        origin="events.toml, line 1",
    )
    assert (second.recorded_by, second.deprecated) == ("vscode", "Use editor.window instead.")
    assert (second.private_metadata, second.origin) == ({"*": "Whatever the editor says."}, "events.toml, line 13")
    assert len(parse_catalog("")) == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = [", "f: is not valid TOML: "),
        ("x = " + "[" * 5_000, "f: is nested too deeply"),
        (HEAD, "f, line 1: is missing owner, description"),
        (HEAD + TAIL + "keys = {}\n", "f, line 6: unknown field 'keys'; known: action, deprecated"),
        (HEAD.replace("submit", "a_b") + TAIL, "f, line 3: action cannot be recorded: it must be 2"),
        (HEAD.replace('"search"', "1") + TAIL, "f, line 2: feature cannot be recorded"),
        (HEAD + TAIL.replace("search team", " "), "f, line 4: owner must be text: the team or person"),
        (HEAD + TAIL.replace('"Submitted."', "3"), "f, line 5: description must be text: what the event"),
        (HEAD + TAIL + "version = -1\n", "f, line 6: version must be a non-negative integer"),
        (HEAD + TAIL + "version = true\n", "f, line 6: version must be a non-negative integer"),
        (HEAD + TAIL + 'version = "2"\n', "f, line 6: version must be a non-negative integer"),
        (HEAD + TAIL + "version = 2147483648\n", "f, line 6: version must be a non-negative integer"),
        (
            HEAD + TAIL + "metadata = 1\n",
            "f, line 6: metadata must be a table of keys, each with its meaning: metadata.key =",
        ),
        (HEAD + TAIL + 'metadata."" = "x"\n', "f, line 6: metadata contains a key that cannot be recorded"),
        (HEAD + TAIL + "metadata.a = 1\n", "f, line 6: metadata, key 'a': must be its meaning, or have meaning, kind"),
        (HEAD + TAIL + 'metadata.a = { meaning = "x", unit = "ms" }\n', "f, line 6: metadata, key 'a': must be its"),
        (HEAD + TAIL + 'metadata.a = { kind = "count" }\n', "f, line 6: metadata, key 'a': has no meaning"),
        (HEAD + TAIL + 'metadata.a = " "\n', "f, line 6: metadata, key 'a': has no meaning"),
        (
            HEAD + TAIL + 'metadata.a = { meaning = "x", kind = "int" }\n',
            "f, line 6: metadata, key 'a': kind must be one of number, count, flag",
        ),
        (HEAD + TAIL + 'metadata.a = { meaning = "x", kind = [1] }\n', "f, line 6: metadata, key 'a': kind must be"),
        (
            HEAD + TAIL + 'metadata.a = { meaning = "x", required = 1 }\n',
            "f, line 6: metadata, key 'a': required must be true or false",
        ),
        (HEAD + TAIL + "private_metadata.q = 1\n", "f, line 6: private_metadata, key 'q': has no meaning"),
        (HEAD + TAIL + 'private_metadata = ["q"]\n', "f, line 6: private_metadata must be a table of keys"),
        (HEAD + TAIL + 'recorded_by = ""\n', "f, line 6: recorded_by must be text: the other program that"),
        (HEAD + TAIL + "deprecated = true\n", "f, line 6: deprecated must be text: what to use instead"),
        (HEAD + TAIL + HEAD + TAIL, "f, line 6: duplicates the entry at f, line 1: search, submit"),
    ],
)
def test_errors_name_the_line(text: str, error: str) -> None:
    with pytest.raises(InvalidCatalogError) as caught:
        parse_catalog(text, "f")
    assert str(caught.value).startswith(error)


def builder() -> EventBuilder:
    return EventBuilder("1", catalog=parse_catalog(GOOD, "f"))


def test_an_event_that_matches_the_catalogue_is_built() -> None:
    parameters = EventParameters(
        metadata={"durationMs": 1.5, "results": 0, "first.time": True}, private_metadata={"query": "x"}
    )
    assert builder().build(NewEvent("search", "submit", parameters)).parameters.metadata["results"] == 0
    anything = EventParameters(private_metadata={"whatever": [1]})
    assert builder().build(NewEvent("editor", "opened", anything)).feature == "editor"


@pytest.mark.parametrize(
    ("event", "error", "text"),
    [
        (NewEvent("search", "sumbit"), UnknownEventError, "event: search, sumbit is not in the catalogue"),
        (NewEvent("search.results", "submit"), UnknownEventError, "event: search.results, submit is not in"),
        (
            NewEvent("search", "submit", EventParameters(metadata={"durationMs": 1})),
            InvalidMetadataError,
            "metadata: is missing 'first.time', which the catalogue requires (f, line 1)",
        ),
        (
            NewEvent("search", "submit", EventParameters(metadata={"other": 1})),
            InvalidMetadataError,
            "metadata['other']: is not in the catalogue (f, line 1)",
        ),
        (
            NewEvent("search", "submit", EventParameters(metadata={"results": 1.5})),
            InvalidMetadataError,
            "metadata['results']: must be a count as in the catalogue (f, line 1)",
        ),
        (
            NewEvent("search", "submit", EventParameters(metadata={"first.time": 2})),
            InvalidMetadataError,
            "metadata['first.time']: must be a flag as in the catalogue (f, line 1)",
        ),
        (
            NewEvent(
                "search",
                "submit",
                EventParameters(metadata={"durationMs": 1, "first.time": False}, private_metadata={SECRET: SECRET}),
            ),
            InvalidPrivateMetadataError,
            "private_metadata, item 1: its key is not in the catalogue (f, line 1)",
        ),
        (
            NewEvent("editor", "opened", EventParameters(metadata={"n": 1})),
            InvalidMetadataError,
            "metadata['n']: is not in the catalogue (f, line 13)",
        ),
    ],
)
def test_events_that_do_not_match_the_catalogue_are_rejected(
    event: NewEvent, error: type[InvalidInputError], text: str
) -> None:
    with pytest.raises(error) as caught:
        builder().build(event)
    assert str(caught.value).startswith(text)
    assert SECRET not in repr(caught.value)


def test_without_a_catalogue_any_event_is_accepted() -> None:
    assert EventBuilder("1").build(NewEvent("any", "thing")).feature == "any"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_kinds_accept_only_their_numbers(value: float) -> None:
    assert MetadataKind.NUMBER.admits(value)
    assert MetadataKind.COUNT.admits(value) == (value >= 0 and value == int(value))
    assert MetadataKind.FLAG.admits(value) == (value in (0, 1))


def test_duplicate_entries_are_rejected_in_code_too() -> None:
    entry = CatalogEntry(feature="search", action="submit", owner="o", description="d")
    with pytest.raises(InvalidCatalogError, match="duplicates the entry at catalogue: search, submit"):
        Catalog([entry, entry])
