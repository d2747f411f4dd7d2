"""The examples for web frameworks, run by the servers that people run them with, and asked over HTTP."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from support.recorders import logged, queued
from support.servers import web_server
from telemetry_store.database import Database

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
HEADERS = {
    "X-Client": "web/3.2",
    "X-Country": "de",
    "X-Sourcegraph-Actor-Anonymous-UID": "anonymous-1",
    "X-Sourcegraph-Interaction-ID": "interaction-1",
}
CANARY = "CANARY-c0de"


def environment(url: str) -> dict[str, str]:
    return {"TELEMETRY_DATABASE_URL": url, "TELEMETRY_EXPORT_MODE": "all"}


def client(address: str) -> httpx2.Client:
    return httpx2.Client(base_url=address, headers=HEADERS, trust_env=False, timeout=30)


def events_of(database: Database, *, count: int) -> dict[str, Any]:
    """Returns the queue's events by name, when there are so many; servers may answer before the last one is stored."""
    end = time.monotonic() + 20
    while len(found := list(queued(database).values())) < count:
        assert time.monotonic() < end, [event.feature for event in found]
        time.sleep(0.05)
    assert len(found) == count
    by_name = {f"{event.feature}.{event.action}": event for event in found}
    assert len(logged(database)) == count
    assert CANARY not in "".join(str(event) for event in found)
    return by_name


def who(event: Any) -> tuple[int | None, str, str, str, str]:
    """Returns user, anonymous id, interaction id, client, country."""
    return (
        event.user.user_id if event.user.HasField("user_id") else None,
        event.user.anonymous_user_id,
        event.interaction.interaction_id,
        f"{event.source.client.name}/{event.source.client.version}",
        event.interaction.geolocation.country_code,
    )


class TestFastAPI:
    @pytest.fixture
    def address(self, migrated_url: str, tmp_path: Path) -> Iterator[str]:
        arguments = ("--app-dir", str(EXAMPLES), "--port", "0", "fastapi_service:app")
        with web_server("uvicorn", *arguments, environment=environment(migrated_url), folder=tmp_path) as address:
            yield address

    def test_events_have_their_requests_context(self, address: str, database: Database) -> None:
        with client(address) as http:
            ada = {"Authorization": "Bearer token-of-ada"}
            assert http.get("/search", params={"q": "ada"}, headers=ada).json() == ["Ada's Algorithm"]
            assert len(http.get("/books").text.splitlines()) == 3
            assert http.get("/search", params={"q": CANARY}, headers={"Authorization": "Bearer x"}).status_code == 401
        events = events_of(database, count=2)
        assert who(events["search.results.submit"]) == (7, "anonymous-1", "interaction-1", "web/3.2", "DE")
        assert dict(events["search.results.submit"].feature_flags.flags) == {"new-ranking": "true"}
        assert dict(events["search.results.submit"].parameters.metadata) == {"results": 1}
        assert who(events["search.download.finished"]) == (None, "anonymous-1", "interaction-1", "web/3.2", "DE")

    def test_what_was_typed_stays(self, address: str, database: Database) -> None:
        with client(address) as http:
            assert http.get("/search", params={"q": CANARY}).json() == []
        events_of(database, count=1)
        assert CANARY in str(logged(database)[0]["argument"])


@pytest.mark.parametrize("server", ["flask", "gunicorn"])
class TestFlask:
    @pytest.fixture
    def address(self, server: str, migrated_url: str, tmp_path: Path) -> Iterator[str]:
        arguments = {
            "flask": ("--app", str(EXAMPLES / "flask_service.py"), "run", "--port", "0"),
            "gunicorn": (
                *("--chdir", str(EXAMPLES), "--bind", "127.0.0.1:0", "--preload", "--workers", "2"),
                "flask_service:create_app()",
            ),
        }
        shop = {"SHOP_DATABASE_URL": migrated_url, "SHOP_SECRET_KEY": "a-long-random-text"}
        with web_server(
            server, *arguments[server], environment=environment(migrated_url) | shop, folder=tmp_path
        ) as address:
            yield address

    def test_an_order_and_its_event_are_both_there_or_neither(self, address: str, database: Database) -> None:
        with client(address) as http:
            assert http.post("/orders", data={"item": "book"}).status_code == 401
            assert http.post("/sign-in", data={"name": "ada"}).status_code == 200
            assert http.post("/orders", data={"item": f"book {CANARY}"}).status_code == 201
            assert http.post("/orders", data={"item": "bicycle"}).status_code == 409
            assert http.get("/orders.csv").text == f"book {CANARY}\n"
        events = events_of(database, count=3)
        assert who(events["shop.order.submit"]) == (7, "anonymous-1", "interaction-1", "web/3.2", "")
        assert events["shop.order.submit"].parameters.billing_metadata.category == "order"
        assert events["account.session.created"].user.user_id == 7
        assert events["shop.download.finished"].user.user_id == 7
        with database.engine.connect() as connection:
            assert connection.execute(text("SELECT item FROM orders")).scalars().all() == [f"book {CANARY}"]

    def test_telemetry_that_fails_does_not_disturb_a_suggestion(self, address: str, database: Database) -> None:
        with client(address) as http:
            with database.engine.begin() as connection:
                connection.execute(text("ALTER TABLE telemetry_events_export_queue RENAME TO away"))
            assert http.get("/suggestions", params={"prefix": "boo"}).json() == ["book", "bookmark"]
            with database.engine.begin() as connection:
                connection.execute(text("ALTER TABLE away RENAME TO telemetry_events_export_queue"))
            assert http.get("/suggestions", params={"prefix": "bi"}).json() == ["bicycle"]
        events = events_of(database, count=1)
        assert dict(events["shop.suggestion.shown"].parameters.metadata) == {"count": 1}


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
class TestDjango:
    @pytest.fixture
    def address(self, server: str, migrated_url: str, tmp_path: Path) -> Iterator[str]:
        service = str(EXAMPLES / "django_service")
        library = {
            "LIBRARY_SECRET_KEY": "a-long-random-text",
            "LIBRARY_DATABASE": str(tmp_path / "library.db"),
            "PYTHONPATH": service,
            "DJANGO_SETTINGS_MODULE": "library.settings",
        }
        whole = environment(migrated_url) | library
        subprocess.run(
            [sys.executable, f"{service}/manage.py", "migrate"], env=os.environ | whole, cwd=tmp_path, check=True
        )
        arguments = {
            "gunicorn": ("--bind", "127.0.0.1:0", "--workers", "2", "library.wsgi"),
            "uvicorn": ("--port", "0", "library.asgi:application"),
        }
        with web_server(server, *arguments[server], environment=whole, folder=tmp_path) as address:
            yield address

    def test_events_have_their_requests_context(self, address: str, database: Database) -> None:
        with client(address) as http:
            http.get("/session")
            ben = {"name": "ben", "password": "a password of ben"}
            assert self.post(http, "/members", ben).status_code == 201
            assert self.post(http, "/members", {**ben, "name": "eve", "card": "expired"}).status_code == 402
            assert self.post(http, "/session", {**ben, "password": "wrong"}).status_code == 401
            assert self.post(http, "/session", ben).json() == {"member": "ben"}
            assert http.get("/search", params={"q": f"{CANARY}"}).json() == []
            assert http.get("/suggestions", params={"prefix": "A P"}).json() == ["A Pattern Language"]
            assert len(http.get("/books").text.splitlines()) == 3
        events = events_of(database, count=5)
        assert events["account.member.created"].user.user_id == 0
        signed_in = (1, "anonymous-1", "interaction-1", "web/3.2", "DE")
        for name in (
            "account.session.created",
            "search.results.submit",
            "search.suggestion.shown",
            "search.download.finished",
        ):
            assert who(events[name]) == signed_in, name
            assert dict(events[name].feature_flags.flags) == {"new-ranking": "true"}

    @staticmethod
    def post(http: httpx2.Client, url: str, form: dict[str, str]) -> httpx2.Response:
        return http.post(url, data={**form, "csrfmiddlewaretoken": http.cookies["csrftoken"]})
