"""The admin page in this process: a client that keeps cookies and follows redirects, as a browser does."""

import re
from typing import Any

from starlette.testclient import TestClient

from support.databases import ManualClock
from telemetry.event import Clock
from telemetry_admin import Access, admin_app
from telemetry_runtime.privacy_settings import PrivacySettings
from telemetry_store.database import Database

ORIGIN = "http://127.0.0.1:10090"
TOKEN = "a-token-of-enough-characters"


def admin_client(
    database: Database,
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = (),
    clock: Clock | None = None,
    **privacy: Any,
) -> TestClient:
    """Return a client of an admin page on this database."""
    clock = clock or ManualClock()
    access = Access(token, secret=b"known to tests", clock=clock)
    app = admin_app(database, PrivacySettings.load(**privacy), access=access, hosts=hosts, clock=clock)
    return TestClient(app, base_url=ORIGIN, headers={"Origin": ORIGIN})


def form_token(page: str) -> str:
    """Return the form token of a page."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found.group(1)


def text_of(page: str) -> str:
    """Return the main text of a page, without markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main")[2].partition("</main>")[0]).split())
