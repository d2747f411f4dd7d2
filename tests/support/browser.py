"""A headless Chromium: the machine's own, driven by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000
"""How long a page may take for anything, on a slow machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Runs a browser; skips where there is none.

    While it runs, this thread cannot run an event loop of its own: servers under test belong into a process or a
    thread of theirs.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser: install one of {', '.join(_PROGRAMS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=list(_ARGUMENTS), headless=True, timeout=PATIENCE_MS
        )
        try:
            yield browser
        finally:
            browser.close()
