"""The whole project keeps to the deny list and to the width of pages: see CONTRIBUTING.md."""

import check_docs_width
import check_english


def test_no_phrase_of_the_deny_list_is_used() -> None:
    paths = [check_english.ROOT / each for each in check_english.EVERYWHERE]
    assert [f"{path}:{line}: {phrase}" for path, line, phrase, _ in check_english.check_files(paths)] == []


def test_pages_are_narrow_enough_to_read_as_source() -> None:
    assert check_docs_width.check_pages(check_docs_width.ROOT / each for each in check_docs_width.PAGES) == []
