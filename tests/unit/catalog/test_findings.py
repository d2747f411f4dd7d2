from pathlib import Path

from telemetry import Catalog, CatalogEntry
from telemetry_catalog import FindingKind, compare, generate_helpers, read_code

SEARCH = CatalogEntry(feature="search", action="submit", owner="o", description="d", origin="events.toml, line 1")


def findings(folder: Path, catalog: Catalog, code: str) -> list[tuple[FindingKind, str, str]]:
    (folder / "code.py").write_text(code)
    return [
        (found.kind, found.place.rpartition("/")[2], found.problem) for found in compare(catalog, read_code([folder]))
    ]


def test_matching_code_and_catalogue_have_no_findings(tmp_path: Path) -> None:
    web = CatalogEntry(feature="web", action="opened", owner="o", description="d", recorded_by="the web app")
    assert findings(tmp_path, Catalog([SEARCH, web]), 'r.record("search", "submit")') == []


def test_an_unknown_event_is_reported_with_a_similar_one(tmp_path: Path) -> None:
    code = 'r.record("search", "submit")\nr.record("search", "sumbit")\nr.record("other", "thing")'
    assert findings(tmp_path, Catalog([SEARCH]), code) == [
        (
            FindingKind.UNKNOWN,
            "code.py:2",
            "search, sumbit is not in the catalogue; similar: search, submit",
        ),
        (FindingKind.UNKNOWN, "code.py:3", "other, thing is not in the catalogue"),
    ]


def test_an_entry_that_is_not_recorded_is_stale(tmp_path: Path) -> None:
    problem = "search, submit is not recorded in this code; remove it here, or set recorded_by"
    assert findings(tmp_path, Catalog([SEARCH]), "x = 1") == [(FindingKind.STALE, "events.toml, line 1", problem)]


def test_a_call_with_dynamic_names_is_reported(tmp_path: Path) -> None:
    found = findings(tmp_path, Catalog([]), "recorder.record(a, b)")
    assert [(kind, place) for kind, place, _ in found] == [(FindingKind.UNREADABLE, "code.py:1")]


def test_a_deprecated_event_is_only_a_warning(tmp_path: Path) -> None:
    old = CatalogEntry(feature="search", action="submit", owner="o", description="d", deprecated="Use search.run.")
    (tmp_path / "code.py").write_text('r.record("search", "submit")')
    found = compare(Catalog([old]), read_code([tmp_path]))
    assert [(each.kind, each.fails) for each in found] == [(FindingKind.DEPRECATED, False)]
    assert found[0].problem == "search, submit is deprecated: Use search.run."


def test_a_generated_helper_counts_only_if_it_is_called(tmp_path: Path) -> None:
    catalog = Catalog([SEARCH])
    (tmp_path / "events.py").write_text(generate_helpers(catalog))
    unused = "from events import search_submit\n"
    assert [kind for kind, _, _ in findings(tmp_path, catalog, unused)] == [FindingKind.STALE]
    assert findings(tmp_path, catalog, unused + "recorder.record_event(search_submit())\n") == []
    assert findings(tmp_path, catalog, "import events\nrecorder.record_event(events.search_submit())\n") == []
    assert findings(tmp_path, catalog, "from events import search_submit as s\nrecorder.record_event(s())\n") == []
