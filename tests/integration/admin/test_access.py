"""Access control: tokens, sessions, host names and forms."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount
from starlette.testclient import TestClient

from support.admin import ORIGIN, TOKEN, admin_client, form_token, text_of
from support.databases import ManualClock
from support.recorders import make_recorder
from telemetry_admin import Access, admin_app
from telemetry_admin.forms import read_form
from telemetry_admin.gate import CONTENT_SECURITY_POLICY
from telemetry_runtime.privacy_settings import PrivacySettings
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue

PAGES = ("/", "/overview.json", "/dead-letters", "/left", "/allowlist", "/events/0190a5c0-0000-7000-8000-000000000000")


@pytest.fixture
def dead(database: Database, clock: ManualClock) -> str:
    """The id of a dead letter."""
    event_id = make_recorder(database).record("search.results", "submit")
    queue = ExportQueue(database, clock=clock)
    queue.set_aside(queue.lease(1, timedelta(minutes=1)), {event_id: "rejected: no"})
    return event_id


def log_in(client: TestClient, token: str = TOKEN, **more: str) -> int:
    answer = client.post("/login", data={"token": token, **more}, follow_redirects=False)
    return int(answer.status_code)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_requires_the_token(database: Database, path: str) -> None:
    client = admin_client(database, token=TOKEN)

    answer = client.get(path, follow_redirects=False)

    if path.endswith(".json"):
        assert answer.status_code == 401
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=")
    assert "Events over time" not in answer.text


def test_a_browser_logs_in_with_the_token(database: Database) -> None:
    client = admin_client(database, token=TOKEN)

    assert log_in(client) == 303

    assert "Events over time" in client.get("/").text
    assert client.get("/overview.json").status_code == 200


def test_login_redirects_to_the_requested_page(database: Database) -> None:
    client = admin_client(database, token=TOKEN)
    asked = client.get("/dead-letters?requeued=3")

    assert asked.url.path == "/login"
    assert 'name="next" value="/dead-letters?requeued=3"' in asked.text
    answer = client.post("/login", data={"token": TOKEN, "next": "/dead-letters?requeued=3"}, follow_redirects=False)
    assert answer.headers["location"] == "/dead-letters?requeued=3"


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example/",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "javascript:alert(1)",
        "/\n/x",
        "//[",
        "http://[",
    ],
)
def test_login_never_redirects_to_another_site(database: Database, target: str) -> None:
    client = admin_client(database, token=TOKEN)

    answer = client.post("/login", data={"token": TOKEN, "next": target}, follow_redirects=False)

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "ü" * 20])
def test_a_wrong_token_is_rejected_and_not_echoed(database: Database, wrong: str) -> None:
    client = admin_client(database, token=TOKEN)

    answer = client.post("/login", data={"token": wrong})

    assert answer.status_code == 401
    assert "Invalid token." in answer.text
    assert wrong == "" or f'"{wrong}"' not in answer.text
    assert client.get("/", follow_redirects=False).status_code == 303


def test_a_session_ends_on_expiry_and_logout(database: Database) -> None:
    clock = ManualClock()
    client = admin_client(database, token=TOKEN, clock=clock)
    log_in(client)
    clock.advance(hours=11, minutes=59)
    assert client.get("/", follow_redirects=False).status_code == 200
    clock.advance(minutes=2)
    assert client.get("/", follow_redirects=False).status_code == 303

    log_in(client)
    client.post("/logout", data={"form_token": form_token(client.get("/").text)})

    assert client.get("/", follow_redirects=False).status_code == 303


def test_a_session_of_another_token_is_invalid(database: Database) -> None:
    first = admin_client(database, token=TOKEN)
    log_in(first)
    other = admin_client(database, token=TOKEN + "-changed")
    other.cookies = first.cookies

    assert other.get("/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("cookie", ["", ".", "x", "1.x.y", "99999999999999999999.n.0", "a.b.c.d", "é.ü"])
def test_a_forged_session_is_invalid(database: Database, cookie: str) -> None:
    client = admin_client(database, token=TOKEN)

    answer = client.get("/", headers={b"Cookie": f"telemetry_admin_10090={cookie}".encode()}, follow_redirects=False)

    assert answer.status_code == 303


def test_the_session_cookie_is_httponly_and_samesite(database: Database) -> None:
    with_token = admin_client(database, token=TOKEN)
    given = with_token.post("/login", data={"token": TOKEN}, follow_redirects=False)
    for answer in (given, admin_client(database).get("/")):
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie
        assert TOKEN not in cookie
        assert "secure" not in cookie


def test_over_tls_the_cookie_is_secure(database: Database) -> None:
    client = admin_client(database, token=TOKEN, hosts=("admin.example.com",))

    answer = client.post(
        "https://admin.example.com/login", data={"token": TOKEN}, headers={"Origin": "https://admin.example.com"},
        follow_redirects=False,
    )  # fmt: skip

    assert "secure" in answer.headers["set-cookie"].lower()


def test_scripts_send_a_bearer_token(database: Database, dead: str) -> None:
    client = admin_client(database, token=TOKEN)
    client.headers = {"Authorization": f"Bearer {TOKEN}"}

    assert client.get("/overview.json").json()["queue"]["dead"] == 1
    assert client.post("/dead-letters/requeue", data={"id": dead}).json() == {"requeued": 1}
    assert client.get("/overview.json").json()["queue"]["dead"] == 0


@pytest.mark.parametrize("header", ["Bearer wrong-token-of-any-length", "Bearer", "Bearer ", "bearer x"])
def test_a_wrong_bearer_token_is_rejected_despite_a_session(database: Database, header: str) -> None:
    client = admin_client(database, token=TOKEN)
    log_in(client)

    answer = client.get("/overview.json", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:10090", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:10090", True),
        ("admin.example.com", True),
        ("attacker.example", False),
        ("127.0.0.1.attacker.example", False),
        ("admin.example.com.attacker.example", False),
        ("attacker.example:10090", False),
        ("", False),
        ("[", False),
    ],
)
def test_unknown_host_names_are_rejected(database: Database, host: str, known: bool) -> None:
    # DNS rebinding: another site makes its own name resolve to this machine.
    client = admin_client(database, hosts=("admin.example.com",))

    answer = client.get("/", headers={"Host": host})

    assert answer.status_code == (200 if known else 421)
    assert known or "TELEMETRY_ADMIN_ALLOWED_HOSTS" in answer.text


def test_any_host_name_can_be_allowed(database: Database) -> None:
    client = admin_client(database, token=TOKEN, hosts=("*",))

    assert client.get("/", headers={"Host": "anything.example"}).url.path == "/login"


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://attacker.example",
        "http://127.0.0.1:1",
        "http://127.0.0.1:10090.attacker.example",
        "http://[",
    ],
)
def test_a_form_of_another_origin_requeues_nothing(
    database: Database, dead: str, token: str | None, origin: str | None
) -> None:
    client = admin_client(database, token=token)
    if token:
        log_in(client)
    data = {"form_token": form_token(client.get("/dead-letters").text), "id": dead}
    client.headers.pop("Origin")

    answer = client.post("/dead-letters/requeue", data=data, headers={} if origin is None else {"Origin": origin})

    assert answer.status_code == 403
    assert ExportQueue(database).counts().dead == 1


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("given", ["", "0" * 64, "é"])
def test_a_form_with_an_invalid_token_requeues_nothing(
    database: Database, dead: str, token: str | None, given: str
) -> None:
    client = admin_client(database, token=token)
    if token:
        log_in(client)
    client.get("/")

    answer = client.post("/dead-letters/requeue", data={"form_token": given, "id": dead})

    assert answer.status_code == 403
    assert ExportQueue(database).counts().dead == 1


def test_a_form_of_another_session_requeues_nothing(database: Database, dead: str) -> None:
    token_of_another = form_token(admin_client(database).get("/dead-letters").text)
    client = admin_client(database)
    client.get("/")

    answer = client.post("/dead-letters/requeue", data={"form_token": token_of_another, "id": dead})

    assert answer.status_code == 403


def test_a_form_without_a_session_requeues_nothing(database: Database, dead: str) -> None:
    client = admin_client(database)

    assert client.post("/dead-letters/requeue", data={"id": dead}).status_code == 403
    assert client.get("/dead-letters/requeue").status_code == 405
    assert ExportQueue(database).counts().dead == 1


@pytest.mark.parametrize("path", [*PAGES, "/login", "/nothing", "/static/admin.css"])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_every_response_has_security_headers(database: Database, path: str, token: str | None) -> None:
    headers = admin_client(database, token=token).get(path, follow_redirects=False).headers

    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "script-src" not in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert path.startswith("/static") or headers["cache-control"] == "no-store"


def test_static_files_stay_within_their_folder(database: Database) -> None:
    client = admin_client(database, token=TOKEN)

    assert client.get("/static/admin.css").headers["content-type"].startswith("text/css")
    assert client.get("/static/../app.py", follow_redirects=False).status_code in (303, 404)
    assert client.get("/static/%2e%2e/app.py", follow_redirects=False).status_code in (303, 404)


def test_a_large_or_malformed_form_is_rejected(database: Database) -> None:
    client = admin_client(database)

    assert client.post("/theme", content=b"theme=" + b"x" * 70_000).status_code == 413
    assert client.post("/theme", content=b"\xff\xfe").status_code == 400
    assert client.post("/theme", content=b"&".join([b"a=1"] * 1001)).status_code == 400


@pytest.mark.parametrize(
    ("rest", "status"), [([], 408), ([{"type": "http.disconnect"}], 400)], ids=["it stops", "the browser goes away"]
)
def test_an_incomplete_form_is_rejected(database_kind: str, rest: list[dict[str, Any]], status: int) -> None:
    messages = [{"type": "http.request", "body": b"token=", "more_body": True}, *rest]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def read() -> None:
        async with asyncio.timeout(60):
            request = Request({"type": "http", "method": "POST", "headers": []}, receive)
            await read_form(request, Access(), has_token=False, within=0.05)

    with pytest.raises(HTTPException) as refused:
        asyncio.run(read())
    assert refused.value.status_code == status


def test_links_and_forms_contain_the_mount_path(database: Database, dead: str) -> None:
    access = Access(TOKEN)
    inner = admin_app(database, PrivacySettings.load(), access=access)
    client = TestClient(Starlette(routes=[Mount("/ops/telemetry", inner)]), base_url=ORIGIN, headers={"Origin": ORIGIN})

    asked = client.get("/ops/telemetry/dead-letters")
    assert asked.url.path == "/ops/telemetry/login"
    client.post("/ops/telemetry/login", data={"token": TOKEN, "next": "/dead-letters"})
    page = client.get("/ops/telemetry/dead-letters").text
    assert 'href="/ops/telemetry/left"' in page
    assert 'action="/ops/telemetry/dead-letters/requeue"' in page
    assert client.get("/ops/telemetry/static/admin.css").status_code == 200
    answer = client.post("/ops/telemetry/dead-letters/requeue", data={"form_token": form_token(page), "one": dead})

    assert answer.url.path == "/ops/telemetry/dead-letters"
    assert "1 requeued." in text_of(answer.text)
