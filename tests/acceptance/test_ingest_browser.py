"""A page of another origin records from a browser: where CORS allows it, and only there."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from support.browser import PATIENCE_MS, chromium
from support.graphql_client import PATH, RECORD, RECORDED, client_event
from support.programs import Shell

SEND = """
async ({url, body, headers}) => {
    try {
        const answer = await fetch(url, {method: "POST", headers, body: JSON.stringify(body)});
        return {status: answer.status, json: await answer.json()};
    } catch (error) {
        return {refused: error.name};
    }
}
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the base class's name


@contextmanager
def website(folder: Path) -> Iterator[str]:
    """Serves a folder; yields its origin."""
    (folder / "page.html").write_text("<!doctype html><title>page</title>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path, {"TELEMETRY_EXPORT_MODE": "all"})
    assert made.telemetry("db", "upgrade").code == 0
    return made


def open_page(browser: Browser, url: str) -> Page:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    return page


def send(page: Page, service: str, headers: dict[str, str]) -> Any:
    body = {"query": RECORD, "variables": {"events": [client_event()]}}
    return page.evaluate(SEND, {"url": f"{service}{PATH}", "body": body, "headers": headers})


def queued(shell: Shell) -> int:
    return int(json.loads(shell.telemetry("queue", "status", "--json").out)["pending"])


def test_pages_of_allowed_origins_record_and_others_are_refused(browser: Browser, shell: Shell, tmp_path: Path) -> None:
    headers = {
        "content-type": "application/json; charset=utf-8",
        "X-Sourcegraph-Actor-Anonymous-UID": "anonymous-1",
        "X-Sourcegraph-Interaction-ID": "interaction-1",
        "authorization": "token of-nobody",
    }
    with (
        website(tmp_path) as allowed,
        website(tmp_path) as foreign,
        shell.ingest("--anonymous", "--cors-origins", allowed) as service,
    ):
        page = open_page(browser, f"{allowed}/page.html")
        # The response to an unknown token can be read as well, so that the page can show the error.
        assert send(page, service, headers)["status"] == 401
        del headers["authorization"]
        assert send(page, service, headers) == {"status": 200, "json": RECORDED}
        assert queued(shell) == 1

        other = open_page(browser, f"{foreign}/page.html")
        assert send(other, service, headers) == {"refused": "TypeError"}
        # Requests that browsers send without a preflight are not accepted.
        simple = f"""fetch("{service}{PATH}", {{method: "POST", mode: "no-cors", body: {json.dumps(RECORD)!r}}})"""
        assert other.evaluate(f"{simple}.then(answer => answer.type)") == "opaque"
        assert queued(shell) == 1
        page.close()
        other.close()


def test_a_service_without_origins_serves_no_other_pages(browser: Browser, shell: Shell, tmp_path: Path) -> None:
    with (
        website(tmp_path) as foreign,
        shell.ingest("--anonymous") as service,
    ):
        page = open_page(browser, f"{foreign}/page.html")
        assert send(page, service, {"content-type": "application/json"}) == {"refused": "TypeError"}
        assert queued(shell) == 0
        page.close()
