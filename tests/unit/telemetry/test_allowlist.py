from datetime import date
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from telemetry import Allowlist, AllowlistEntry, InvalidAllowlistError, parse_additional_event_types, parse_allowlist
from telemetry.allowlist import render_allowlist

GOOD = """
# a comment with [[event]] in it
[[event]]
feature = "search.results"
action = "submit"
keys = { language = "ranking", "with space" = "reason | two" }
approved_by = " x "
approved_on = 2026-01-31
expires_on = 2027-01-31

[[event]]
feature = "editor"
approved_by = "x"
approved_on = 2026-01-31
[event.keys]
"*" = "everything is public"
"""


def test_entries_are_parsed_with_their_lines() -> None:
    first, second = parse_allowlist(GOOD, "list.toml")
    assert first == AllowlistEntry(
        "search.results",
        "submit",
        {"language": "ranking", "with space": "reason | two"},
        "x",
        date(2026, 1, 31),
        date(2027, 1, 31),
        "list.toml, line 3",
    )
    assert (second.action, second.whole_field, second.origin) == (None, True, "list.toml, line 11")
    assert parse_allowlist("") == []


HEAD = '[[event]]\nfeature = "search"\n'
TAIL = 'approved_by = "x"\napproved_on = 2026-01-31\n'
KEYS = 'keys = { a = "r" }\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = [", "f: is not valid TOML: "),
        (HEAD + KEYS + TAIL + "x = 1\n", "f, line 6: unknown field 'x'; known: action, approved_by"),
        ("events = 1\n", "f, line 1: unknown field 'events'; entries are [[event]] tables"),
        ("event = 1\n", "f, line 1: entries are [[event]] tables"),
        ("event = [1]\n", "f, line 1: entries are [[event]] tables"),
        ('\n[[event]]\nfeature = "Search"\n' + KEYS + TAIL, "f, line 3: feature cannot be recorded: it must be 2"),
        (HEAD + 'action = "a1"\n' + KEYS + TAIL, "f, line 3: action cannot be recorded"),
        (HEAD + KEYS, "f, line 1: is missing approved_by, approved_on"),
        ("[[event]]\n", "f, line 1: is missing feature, keys, approved_by, approved_on"),
        (HEAD + "keys = {}\n" + TAIL, "f, line 3: keys must be a table of keys, each with a reason"),
        (HEAD + 'keys = ["a"]\n' + TAIL, "f, line 3: keys must be a table of keys, each with a reason"),
        (HEAD + 'keys = { a = "" }\n' + TAIL, "f, line 3: key 'a' has no reason"),
        (HEAD + TAIL + '[event.keys]\na = " "\n', "f, line 6: key 'a' has no reason"),
        (HEAD + 'keys = { "*" = "r", a = "r" }\n' + TAIL, "f, line 3: keys contains '*' (the whole field) and other"),
        (HEAD + 'keys = { "*" = "" }\n' + TAIL, "f, line 3: key '*' has no reason"),
        (HEAD + 'keys = { "" = "r" }\n' + TAIL, "f, line 3: keys contains a key that cannot be recorded"),
        (
            HEAD + KEYS + 'approved_by = ""\napproved_on = 2026-01-31\n',
            "f, line 4: approved_by must be text: the",
        ),
        (HEAD + KEYS + 'approved_by = "x"\napproved_on = "2026-01-31"\n', "f, line 5: approved_on must be a date"),
        (HEAD + KEYS + TAIL + "expires_on = 2026-01-31T00:00:00Z\n", "f, line 6: expires_on must be a date"),
        (
            HEAD + KEYS + TAIL + "\n" + HEAD + KEYS + TAIL,
            "f, line 7: duplicates the entry at f, line 1: search, all ac",
        ),
    ],
)
def test_errors_name_the_line(text: str, error: str) -> None:
    with pytest.raises(InvalidAllowlistError) as caught:
        Allowlist(parse_allowlist(text, "f"))
    assert str(caught.value).startswith(error)


def test_entries_of_the_environment() -> None:
    entries = parse_additional_event_types(" search.results::submit::a::b , editor::*,chat::ask ,")
    assert [(e.feature, e.action, sorted(e.keys)) for e in entries] == [
        ("search.results", "submit", ["a", "b"]),
        ("editor", None, ["*"]),
        ("chat", "ask", ["*"]),
    ]
    assert parse_additional_event_types("") == []
    (any_action,) = parse_additional_event_types("editor::*::language")
    assert (any_action.action, set(any_action.keys)) == (None, {"language"})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("search", "entry 1: must be feature::action[::key...]"),
        ("ok::ok,Search::submit", "entry 2: must be feature::action"),
        ("search::s1", "entry 1: must be feature::action"),
        ("search::submit::", "entry 1: keys must be named once each"),
        ("search::submit::a::a", "entry 1: keys must be named once each"),
        ("search::submit::*", "entry 1: keys must be named once each; leave them out for the whole field"),
    ],
)
def test_errors_in_the_environment_name_the_entry(text: str, error: str) -> None:
    with pytest.raises(InvalidAllowlistError) as caught:
        parse_additional_event_types(text)
    expected = f"TELEMETRY_SENSITIVEMETADATA_ADDITIONAL_ALLOWED_EVENT_TYPES, {error}"
    assert str(caught.value).startswith(expected)


def test_an_entry_in_file_and_environment_is_a_duplicate() -> None:
    with pytest.raises(
        InvalidAllowlistError, match="duplicates the entry at list.toml, line 3: search.results, submit"
    ):
        Allowlist([*parse_allowlist(GOOD, "list.toml"), *parse_additional_event_types("search.results::submit::x")])


def test_an_expired_entry_is_invalid_and_logged_once() -> None:
    allowlist = Allowlist(parse_allowlist(GOOD, "list.toml"))
    assert allowlist.entry_for("search.results", "submit", date(2027, 1, 31)) is not None
    with capture_logs() as logs:
        for _ in range(3):
            assert allowlist.entry_for("search.results", "submit", date(2027, 2, 1)) is None
    assert logs == [
        {
            "event": "allowlist entry expired",
            "entry": "list.toml, line 3",
            "expired_on": "2027-01-31",
            "log_level": "warning",
        }
    ]


def test_the_page_is_a_sorted_table_with_a_row_per_key() -> None:
    lines = render_allowlist(Allowlist(parse_allowlist(GOOD))).splitlines()
    assert lines[-3:] == [
        "| `editor` | all | everything | everything is public | x | 2026-01-31 | never |",
        "| `search.results` | `submit` | `language` | ranking | x | 2026-01-31 | 2027-01-31 |",
        "| `search.results` | `submit` | `with space` | reason \\| two | x | 2026-01-31 | 2027-01-31 |",
    ]


def test_the_example_allowlist_is_valid() -> None:
    text = (Path(__file__).resolve().parents[3] / "examples" / "allowlist.toml").read_text()
    assert len(Allowlist(parse_allowlist(text))) == 1


def test_keys_and_reasons_are_escaped_on_the_page() -> None:
    keys = {"a|b": "one\r\ntwo", "tick`s": "a | b"}
    page = render_allowlist(Allowlist([AllowlistEntry("search", None, keys, "x\ny", None)]))
    rows = [line for line in page.splitlines() if line.startswith("| `search`")]
    assert len(rows) == 2
    assert "| `a\\|b` | one two | x y |" in rows[0]
    assert "| `` tick`s `` | a \\| b |" in rows[1]
