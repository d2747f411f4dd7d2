"""A headless Chromium, the installed one, controlled by playwright."""

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
"""The timeout of each operation on a page, for slow machines."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser; skip the test if none is installed.

    While it runs, this thread cannot run another event loop, so servers under test need a separate process or thread.
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
