"""The admin page as operators see it: served by the command, opened in a browser."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from support.browser import PATIENCE_MS, chromium
from support.npm import npm_packages
from support.programs import Shell, wait_for_line
from support.recorders import make_recorder
from telemetry import EventContext, EventParameters, NewEvent
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.export_runs import ExportRuns
from telemetry_store.migrations import upgrade_database
from telemetry_store.pass_report import PassReport

TOKEN = "a-token-of-enough-characters"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
HOSTILE = "<script>document.title='owned'</script><img src=//elsewhere.example/x>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An instance with events, dead letters, exports and an allowlist."""
    engine = create_database_engine(f"sqlite:///{tmp_path / 'telemetry.db'}")
    upgrade_database(engine)
    database = Database(engine)
    now = datetime.now(UTC)
    events = [
        NewEvent.with_run_time_names(
            f"search.part{'abcdefgh'[number % 8]}".replace("part", "part-"),
            "submit" if number % 3 else "open",
            EventParameters(metadata={"n": 1}, private_metadata={"query": "secret"}),
            context=EventContext(user_id=number % 11),
            timestamp=now - timedelta(hours=number),
        )
        for number in range(60)
    ]
    ids = make_recorder(database).batch_record(events)
    queue = ExportQueue(database)
    queue.mark_exported(ids[:55])
    lease = queue.lease(3, timedelta(minutes=1))
    queue.set_aside(lease, {event.id: f"rejected: {HOSTILE}" for event in lease.events})
    ExportRuns(database).add(PassReport(request_id="1", started_at=now, last_at=now, outcome="outage", problem=HOSTILE))
    database.close()
    (tmp_path / "allowlist.toml").write_text(
        '[[event]]\nfeature = "search.part-a"\nkeys = { language = "To rank languages" }\n'
        'approved_by = "privacy@example.com"\napproved_on = 2026-01-31\nexpires_on = 2026-02-01\n'
    )
    return tmp_path


class Served:
    """The page, served by the command; keeps the browsers' requests and console messages."""

    def __init__(self, browser: Browser, address: str, stack: ExitStack) -> None:
        self.address = address
        self.requests: list[str] = []
        self.console: list[str] = []
        self._browser = browser
        self._stack = stack

    def open(self, path: str = "/", **context: Any) -> Page:
        opened: BrowserContext = self._stack.enter_context(self._browser.new_context(**context))
        page = opened.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.goto(f"{self.address}{path}")
        return page


@pytest.fixture
def served(browser: Browser, folder: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    shell = Shell(
        folder,
        {
            "TELEMETRY_EXPORT_MODE": "all",
            "TELEMETRY_ALLOWLIST_FILE": "allowlist.toml",
            **getattr(request, "param", {}),
        },
    )
    with ExitStack() as stack:
        process = stack.enter_context(shell.background("admin", "serve", "--listen", "127.0.0.1:0"))
        address = wait_for_line(process, r"listening on (\S+)")
        yield Served(browser, f"http://{address}", stack)


def all_paths(served: Served) -> list[str]:
    page = served.open("/left")
    event = page.get_by_role("link", name=re.compile(r"^[0-9a-f]{8}-")).first.get_attribute("href")
    page.goto(f"{served.address}/dead-letters")
    dead = page.get_by_role("link", name=re.compile(r"^[0-9a-f]{8}-")).first.get_attribute("href")
    assert event is not None
    assert dead is not None
    paths = ["/", "/?range=24h", "/?range=90d&feature=search", "/?feature=nothing", "/dead-letters?requeued=2"]
    return [*paths, "/left", "/allowlist", event, dead, "/nothing-here", "/login"]


def test_every_page_works_offline_and_without_console_messages(served: Served) -> None:
    for path in all_paths(served):
        page = served.open(path)
        assert page.evaluate("document.scripts.length") == 0
        assert "owned" not in page.title()

    assert {url for url in served.requests if not url.startswith(f"{served.address}/")} == set()
    # Browsers log 404 responses to the console.
    assert [text for text in served.console if "404" not in text] == []
    assert f"{served.address}/static/admin.css" in served.requests


def test_nothing_moves_while_a_page_is_loaded(served: Served) -> None:
    for path in ("/", "/dead-letters"):
        page = served.open(path)
        shift = page.evaluate(
            """() => new Promise(done => {
                let sum = 0
                new PerformanceObserver(list => list.getEntries().forEach(one => sum += one.value))
                    .observe({type: 'layout-shift', buffered: true})
                requestAnimationFrame(() => requestAnimationFrame(() => done(sum)))
            })"""
        )
        assert shift == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(served: Served, scheme: Any) -> None:
    for path in all_paths(served):
        page = served.open(path, viewport=PHONE, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_pass_the_accessibility_rules(served: Served, scheme: Any, size: Any) -> None:
    axe = (npm_packages("axe") / "axe-core" / "axe.min.js").read_text()
    for path in all_paths(served):
        page = served.open(path, viewport=size, color_scheme=scheme)
        for summary in page.get_by_text("Show as a table").all():
            summary.click()
        page.evaluate(axe)
        # All of its rules: WCAG A and AA, and good practice.
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        violations = [(rule["id"], [node["html"][:150] for node in rule["nodes"][:3]]) for rule in found["violations"]]
        assert violations == [], path
        assert len(found["passes"]) > 15


def test_light_and_dark_follow_the_system_until_chosen(served: Served) -> None:
    def background(page: Page) -> str:
        page.wait_for_load_state()
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = (background(served.open(color_scheme=scheme)) for scheme in ("light", "dark"))
    assert light != dark
    page = served.open("/left", color_scheme="light")
    page.get_by_role("button", name="Dark").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    assert background(page) == dark
    assert page.url == f"{served.address}/left"
    page.goto(f"{served.address}/")
    assert background(page) == dark
    page.get_by_role("button", name="Auto").click()
    expect(page.get_by_role("button", name="Auto")).to_have_attribute("aria-pressed", "true")
    assert background(page) == light


def test_a_dead_letter_is_requeued_with_the_keyboard_alone(served: Served) -> None:
    page = served.open()

    def tab_to(role: str, name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
            if page.get_by_role(role, name=re.compile(name)).first.evaluate("one => one === document.activeElement"):  # type: ignore[arg-type]
                return
        raise AssertionError(f"Tab never leads to {name}")

    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_in_viewport()
    tab_to("link", "^Dead letters")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to("button", "^Requeue search")
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("1 requeued.")
    expect(page.get_by_role("button", name=re.compile("^Requeue search"))).to_have_count(2)


def test_chosen_dead_letters_are_requeued(served: Served) -> None:
    page = served.open("/dead-letters", viewport=PHONE)
    for box in page.get_by_role("checkbox").all()[:2]:
        box.check()
    page.get_by_role("button", name="Requeue selected").click()

    expect(page.get_by_role("status")).to_contain_text("2 requeued.")


def test_range_and_feature_are_chosen_without_a_script(served: Served) -> None:
    page = served.open()
    page.get_by_role("link", name="Last 90 days").click()
    expect(page.get_by_text("in 90 days")).to_be_visible()
    page.get_by_label("Feature", exact=True).select_option("search.part-b")
    page.get_by_role("button", name="Show").click()

    expect(page.get_by_text("in 90 days, search.part-b")).to_be_visible()
    assert page.get_by_label("Feature", exact=True).input_value() == "search.part-b"
    page.get_by_text("Show as a table").first.click()
    table = page.get_by_role("table", name="Events over time")
    expect(table.get_by_role("columnheader", name="submit")).to_be_visible()


@pytest.mark.parametrize("served", [{"TELEMETRY_ADMIN_TOKEN": TOKEN}], indirect=True)
def test_login_with_a_token(served: Served) -> None:
    page = served.open("/dead-letters")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type("not the token, but long enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Invalid token.")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name=re.compile("^Requeue search")).first.click()
    expect(page.get_by_role("status")).to_contain_text("1 requeued.")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{served.address}/")
    expect(page.get_by_label("Token")).to_be_visible()


class Elsewhere(BaseHTTPRequestHandler):
    """Another site: posts a form to the admin page, and embeds it in a frame."""

    target = ""

    def do_GET(self) -> None:
        page = f"""<!doctype html><form method="post" action="{self.target}/dead-letters/requeue">
            <input name="all" value="shown"><input name="shown" value="x"><button>Win</button></form>
            <iframe src="{self.target}/dead-letters"></iframe>"""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.mark.parametrize("served", [{}, {"TELEMETRY_ADMIN_TOKEN": TOKEN}], indirect=True, ids=["open", "token"])
def test_another_site_can_neither_post_nor_frame(served: Served) -> None:
    Elsewhere.target = served.address
    # Another origin on the same site: the worst case, because samesite cookies are sent.
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        page = served.open("/")
        if page.get_by_label("Token").is_visible():
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        served.console.clear()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        assert any("frame-ancestors" in text or "X-Frame-Options" in text for text in served.console)
        with page.expect_response(lambda answer: "/requeue" in answer.url) as answer:
            page.get_by_role("button", name="Win").click()
        assert answer.value.status == 403
        server.shutdown()


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        (
            ["--listen", "0.0.0.0:0"],
            {},
            "TELEMETRY_ADMIN_TOKEN: is missing; without a token the page is served on loopback",
        ),
        (["--listen", "here"], {}, "TELEMETRY_ADMIN_LISTEN_ADDR: must be host:port"),
        (
            [],
            {"TELEMETRY_ADMIN_TOKEN": "short"},
            "TELEMETRY_ADMIN_TOKEN: must be at least 16 printable ASCII characters",
        ),
        (["--database-url", "mysql://x/y"], {}, "mysql is not supported; use SQLite or PostgreSQL"),
    ],
)
def test_invalid_settings_are_reported_before_serving(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], line: str
) -> None:
    result = Shell(tmp_path, {}).telemetry("admin", "serve", *arguments, environment=environment)

    assert result.code in (1, 2)
    assert line in result.err
    assert "Traceback" not in result.err
    assert "short" not in result.err
